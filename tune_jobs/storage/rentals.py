"""The rentals of a study: each driver writes an object of its own, and all are read together."""

from tune_jobs.records.keys import Kind, parse_key, rentals_folder, rentals_key
from tune_jobs.records.rental import Rental, Rentals, merged
from tune_jobs.storage.storage import Storage


def read_rentals(storage: Storage, study: str) -> dict[str, Rental]:
    """What all drivers of a study have seen, by machine.

    Raises RecordError for an object that is damaged: a budget must not be counted too low.
    """
    keys = [item.key for item in storage.list(rentals_folder(study))]
    found: list[Rental] = []
    for key in keys:
        parsed = parse_key(key)
        if parsed and parsed.kind is Kind.RENTALS:
            found += Rentals.from_json(storage.read(key)).rentals
    return merged(found)


def write_rentals(storage: Storage, study: str, driver: str, rentals: dict[str, Rental]) -> None:
    """Store what a driver has seen so far."""
    content = Rentals(study=study, rentals=tuple(rentals.values()))
    storage.write(rentals_key(study, driver), content.to_json())
