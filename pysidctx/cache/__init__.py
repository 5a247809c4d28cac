"""SessionCache: sessions that every worker of a server can resume, stored without their peers' certificates."""
