"""`/v1/rotation`, and a secret's own `:rotate`."""

from scaivault.edge.pages import Cursors
from scaivault.edge.routes import Routes
from scaivault.features.rotation.routes.policies import policy_table
from scaivault.features.rotation.routes.rotations import rotation_table
from scaivault.features.rotation.service.policies import RotationPolicyService
from scaivault.features.rotation.service.rotations import RotationService


def routes(policies: RotationPolicyService, rotations: RotationService, cursors: Cursors) -> Routes:
    return Routes(
        "rotation",
        "rotation",
        (*policy_table(policies, cursors), *rotation_table(policies, rotations, cursors)),
    )
