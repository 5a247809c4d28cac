"""TicketKeys: session tickets that every worker of a server can read."""
