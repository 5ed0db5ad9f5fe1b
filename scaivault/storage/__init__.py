"""PostgreSQL and Redis: connections, transactions, rows, migrations. Knows no feature."""
