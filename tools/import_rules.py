"""House rules that import-linter has no built-in contract for."""

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class FeatureFace(Contract):
    """Across features, only the listed roles may be imported."""

    container = fields.StringField()
    face = fields.ListField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: ARG002 - the base class's signature
        trespasses = [
            (importer, imported)
            for importer in sorted(graph.find_descendants(self.container))  # type: ignore[arg-type]  # read, it is its value
            for imported in sorted(graph.find_modules_directly_imported_by(importer))
            if self._trespasses(importer, imported)
        ]
        return ContractCheck(kept=not trespasses, metadata={"trespasses": trespasses})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for importer, imported in check.metadata["trespasses"]:
            output.print_error(f"{importer} may not import {imported}")

    def _trespasses(self, importer: str, imported: str) -> bool:
        inside = f"{self.container}."
        if not imported.startswith(inside):
            return False
        feature, _, role = imported.removeprefix(inside).partition(".")
        is_allowed = role.partition(".")[0] in self.face  # type: ignore[operator]  # as above
        return not importer.startswith(f"{inside}{feature}.") and not is_allowed
