"""Every error that this library raises on purpose.

    ColumnarError
      AsofError                  also a ValueError: a source, the entity rows or the request don't fit the join
        UnsupportedError         also a NotImplementedError: Feast offers this, the store does not
      RepoError                  the feature repo, its configuration or a store can't be used as it is
        UnservableFeatureError   a feature can't be read online
      RequestError               also a ValueError: keys or request features don't fit the reader they are given to
      StoreUnavailableError      the online store does not answer, or not in time
        FeaturesLostError        the online store answers, but has no features at all
      OnDemandFeatureError       an on-demand feature view can't be computed for some keys

Each message says what is wrong, where, and what to do; secrets that a store's own error quotes are left out.
"""


class ColumnarError(Exception):
    """Base of all errors of this library."""


class AsofError(ColumnarError, ValueError):
    """Something about a source, the entity rows or the request is wrong; the message says what and what to do."""


class UnsupportedError(AsofError, NotImplementedError):
    """Feast offers this, the store does not; the message says what to use instead."""


class RepoError(ColumnarError):
    """The feature repo, its configuration or a store behind it can't be used as it is."""


class UnservableFeatureError(RepoError):
    """A feature can't be read online as it is typed or keyed."""


class RequestError(ColumnarError, ValueError):
    """Keys or request features are not what the reader wants; the message names the one and says what to give."""


class StoreUnavailableError(ColumnarError):
    """The online store can't be read, or does not answer in time."""


class FeaturesLostError(StoreUnavailableError):
    """The online store answers, but has no features of any key."""


class OnDemandFeatureError(ColumnarError):
    """An on-demand feature view fails for keys that have its inputs."""
