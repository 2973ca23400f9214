"""The rentals of a study: each driver writes an object of its own, and all are read together."""

from tune_jobs.records.keys import Kind, parse_key, rentals_folder, rentals_key
from tune_jobs.records.rental import Rental, Rentals, merged
from tune_jobs.storage.reader import Listing, list_folder, read_each, require_own_key
from tune_jobs.storage.storage import Storage


def read_rentals(storage: Storage, study: str) -> dict[str, Rental]:
    """What all drivers of a study have seen, by machine.

    Raises RecordError for an object that is damaged: a budget must not be counted too low.
    """
    return rentals_in(storage, list_folder(storage, rentals_folder(study))).get(study, {})


def rentals_in(
    storage: Storage, listed: Listing, damaged: list[str] | None = None
) -> dict[str, dict[str, Rental]]:
    """What drivers have seen, by study and machine; ``damaged`` as for ``read_each``."""
    keys = (item.key for key, item in listed.objects if key.kind is Kind.RENTALS)
    found: dict[str, list[Rental]] = {}
    for _, seen in read_each(storage, keys, parse_rentals, damaged):
        found.setdefault(seen.study, []).extend(seen.rentals)
    return {study: merged(rentals) for study, rentals in found.items()}


def parse_rentals(key: str, content: bytes) -> Rentals:
    seen, parts = Rentals.from_json(content), parse_key(key)
    require_own_key(key, rentals_key(seen.study, (parts and parts.driver) or ""))
    return seen


def write_rentals(storage: Storage, study: str, driver: str, rentals: dict[str, Rental]) -> None:
    """Store what a driver has seen so far."""
    content = Rentals(study=study, rentals=tuple(rentals.values()))
    storage.write(rentals_key(study, driver), content.to_json())
