"""The old place of the online store on Redis, which is in the library feast-columnar now."""

from driver_ranking.feature_store.moved import moved_from

__getattr__ = moved_from(__name__)
