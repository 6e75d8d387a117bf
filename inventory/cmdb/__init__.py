"""The inventory in a database: hosts, groups, variables and credentials."""
