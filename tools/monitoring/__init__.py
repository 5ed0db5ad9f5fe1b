"""What operators import, built from data: Prometheus's rules and Grafana's dashboards."""
