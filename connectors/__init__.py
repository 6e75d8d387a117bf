"""How to reach one host: the connector contract and its implementations."""
