"""The old place of the offline store on Spark, which is in the library feast-columnar now."""

from driver_ranking.feature_store.moved import moved_from

__getattr__ = moved_from(__name__)
