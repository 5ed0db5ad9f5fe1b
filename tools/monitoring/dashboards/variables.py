"""What a reader may narrow a dashboard to."""

from tools.monitoring.dashboards.panel import Variable

# A series that every process has. A target outside Kubernetes has no namespace, and 'All' must still mean it.
NAMESPACE = Variable("namespace", "Namespace", "scaivault_build_info", ".*")
JOB = Variable("job", "Job", 'scaivault_build_info{namespace=~"$namespace"}', ".+")
TENANT = Variable("tenant", "Tenant", 'scaivault_secrets{namespace=~"$namespace"}', ".*")

EVERYWHERE = (NAMESPACE, JOB)
BY_TENANT = (*EVERYWHERE, TENANT)
