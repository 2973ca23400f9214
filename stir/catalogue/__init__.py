"""The datasets known by name, and a place for users' own."""

from stir.catalogue.facts import BUILT_IN, DATASETS, Facts, Maker, register_dataset, slug

__all__ = ["BUILT_IN", "DATASETS", "Facts", "Maker", "register_dataset", "slug"]
