"""Two root keys at once: the one in force, and the one it takes over from."""

from dataclasses import dataclass

from scaivault.kernel.ports import KeyService


@dataclass(frozen=True, slots=True)
class Succession:
    """The active root key's service, and the previous one's for as long as rows are still wrapped by it.

    Of any provider, the same one or another: a row names the key that wraps it, and only that key's service is asked.
    """

    active: KeyService
    previous: KeyService | None = None

    def named(self, kms_key_id: str | None) -> KeyService:
        """The service whose root key has this id.

        An id that neither has goes to the active one: its provider may have come to spell it in another way, and what
        it did not wrap it refuses with TamperedCiphertext.
        """
        if self.previous is None or kms_key_id == self.active.key_id or kms_key_id != self.previous.key_id:
            return self.active
        return self.previous
