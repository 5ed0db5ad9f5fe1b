"""What `/v1/secret-policies` takes and gives. Fields and what they are told are the model's."""

from typing import Annotated

from pydantic import Field

from scaivault.edge.messages import Body, Flag, Name, Page, PageReply, Reply, Text, Timestamp
from scaivault.features.generators.model import policies
from scaivault.features.generators.model.fields import AnyField, Fields
from scaivault.features.generators.model.policies import PolicyType

Kind = Annotated[PolicyType, Field(strict=False)]


class PreviewBody(Body):
    """`fields` are the usual ones of the type if left out; a `custom` policy has no usual ones."""

    policy_type: Kind = PolicyType.CUSTOM
    fields: Fields = Field(default_factory=list)

    def given_fields(self) -> tuple[AnyField, ...]:
        """The fields, or the usual ones; ValidationFailed if there are neither."""
        return tuple(self.fields) or policies.usual_fields(self.policy_type)


class SecretPolicyBody(PreviewBody):
    name: Name
    description: Text = ""
    is_active: bool = True

    def to_model(self) -> policies.Draft:
        return policies.Draft(self.name, self.description, self.policy_type, self.given_fields(), self.is_active)


class SecretPolicyPatch(Body):
    """What is left out stays as it is; with another `policy_type`, the fields too."""

    # By factory: the schema shows no default then, and there is none.
    name: Name = Field(default_factory=str)
    description: Text = Field(default_factory=str)
    policy_type: Kind = Field(default_factory=lambda: PolicyType.CUSTOM)
    fields: Fields = Field(default_factory=list)
    is_active: bool = Field(default_factory=bool)

    def to_model(self) -> policies.Changes:
        given = self.model_fields_set
        return policies.Changes(
            name=self.name if "name" in given else None,
            description=self.description if "description" in given else None,
            policy_type=self.policy_type if "policy_type" in given else None,
            fields=tuple(self.fields) if "fields" in given else None,
            is_active=self.is_active if "is_active" in given else None,
        )


class SecretPolicyQuery(Page):
    include_inactive: Flag = False


class SecretPolicy(Reply):
    id: str
    name: str
    description: str
    policy_type: PolicyType
    fields: list[AnyField]
    is_active: bool
    revision: int
    created_at: Timestamp
    updated_at: Timestamp

    @classmethod
    def of(cls, policy: policies.SecretPolicy) -> "SecretPolicy":
        return cls(
            id=policy.id,
            name=policy.name,
            description=policy.description,
            policy_type=policy.policy_type,
            fields=list(policy.fields),
            is_active=policy.is_active,
            revision=policy.revision,
            created_at=policy.created_at,
            updated_at=policy.updated_at,
        )


class SecretPolicyPage(PageReply):
    secret_policies: list[SecretPolicy]


class Preview(Reply):
    """What a secret's `data` could be. Nobody keeps these values."""

    data: Annotated[dict[str, str], Field(repr=False)]
