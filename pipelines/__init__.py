"""How the components are joined."""
