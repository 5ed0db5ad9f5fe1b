"""Which faults are injected, in which company, and who must be told of what."""

from tests.drills.drill import Injection, Round
from tests.drills.faults import kms, processes

ROUNDS = (
    Round("the key service", (Injection("KMS answers 0.7 s late", kms.slow, ("ScaiVaultKmsSlow",)),)),
    Round("the API", (Injection("every process of the API killed", processes.api_killed, ("ScaiVaultDown",)),)),
)
