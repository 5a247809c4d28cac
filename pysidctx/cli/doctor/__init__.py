"""The command `doctor`: why a server does not resume sessions, in its environment, its settings and on its port."""
