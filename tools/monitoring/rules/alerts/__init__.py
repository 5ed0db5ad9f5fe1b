"""All alerts, a module for each of the dashboards' parts and one for what is promised."""

from tools.monitoring.rules.alerts import access, background, budgets, dependencies, serving

BY_MODULE = {
    "serving": serving.ALERTS,
    "budgets": budgets.ALERTS,
    "dependencies": dependencies.ALERTS,
    "background": background.ALERTS,
    "access": access.ALERTS,
}
ALERTS = tuple(alert for alerts in BY_MODULE.values() for alert in alerts)
