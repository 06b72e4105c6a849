"""What is ranked, by what keys and with what of the request: real feature repos on SQLite and Redis, by hand."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from types import FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from columnar_support.online_repos import NOON, ON_DEMAND
from feast import Field, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Float32, Float64, Int64, String
from support.repos_by_hand import Loader, applied, listed, served, spoil, texts, view, write

from driver_ranking.errors import (
    NoRankableDriverError,
    NotReadyError,
    OnDemandFeatureError,
    RequestError,
)
from driver_ranking.features import Defaults, FeatureRows
from driver_ranking.serving.contract import Input, RankingContract
from driver_ranking.serving.query import RankingQuery
from driver_ranking.serving.service import RankingService
from driver_ranking.serving.settings import RuntimeSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from columnar_support.online_repos import OnlineRepo
    from feast import FeatureStore

pytestmark = [ON_DEMAND, pytest.mark.parametrize("repo", ["ours", "redis"], indirect=True)]
HOUR = timedelta(hours=1)
NAN = float("nan")


# Restaurants: text ids, a text among the features, a request feature that is no stored one


def by_cuisine(features: Any) -> Any:
    assert isinstance(features, FeatureRows)
    likes = {"thai": 2.0, "swiss": 1.0}
    return features.numbers[:, 0] + np.array([likes[one] for one in features.texts["cuisine"]]) - features.numbers[:, 1]


def restaurants(repo: OnlineRepo) -> FeatureStore:
    store = applied(repo, view(repo, "menus", ("restaurant",), {"cuisine": String, "rating": Float64}))
    rows = {"Löwen": ("swiss", 4.5), "Siam": ("thai", 4.0), "Krone": ("swiss", None), "Bären": (None, 5.0)}
    write(store, "menus", *({"restaurant": n, "cuisine": c, "rating": r} for n, (c, r) in rows.items()))
    old = {"restaurant": "Sonne", "cuisine": "thai", "rating": 1.0, "event_timestamp": NOON - HOUR}
    write(store, "menus", old)
    return store


RESTAURANT_TYPES = {"rating": "double", "cuisine": "string", "wait": "float"}


def test_candidates_with_text_ids_are_ranked_by_numbers_texts_and_what_the_request_says(repo: OnlineRepo) -> None:
    loader = Loader(restaurants(repo), by_cuisine, RESTAURANT_TYPES, ("wait",))
    names = texts("Krone", "Löwen", "Siam", "nowhere", "Sonne", "Bären")
    waits = np.array([0.0, 0.25, 3.0, 0.0, 0.5, 0.0])
    each, same = served(
        loader, RankingQuery(names, {}, {"wait": waits}), RankingQuery(names[1:3], {}, {"wait": np.array([1.0])})
    )
    assert listed(each, "restaurant", "score", "excluded_restaurant") == [
        ["Löwen", "Siam", "Sonne"],
        [5.25, 3.0, 2.5],
        ["Krone", "nowhere", "Bären"],
    ]
    assert listed(each, "status", "feature_age") == [["ok"] * 3, [0, 0, 3600]]
    assert listed(each, "cuisine", "rating", "wait") == [["swiss", "thai", "thai"], [4.5, 4.0, 1.0], [0.25, 3.0, 0.5]]
    assert each.output("wait").dtype == np.float32
    assert listed(same, "restaurant", "score", "wait") == [["Siam", "Löwen"], [5.0, 4.5], [1.0, 1.0]]
    assert each.contract == RankingContract(
        Input("restaurant", "BYTES"),
        (),
        (Input("wait", "FP32"),),
        {"rating": "FP64", "cuisine": "BYTES", "wait": "FP32"},
    )


def test_what_stands_for_missing_features_is_said_and_shown(repo: OnlineRepo) -> None:
    defaults = Defaults(np.array([3.0, 0.5]), {"cuisine": "thai"})
    loader = Loader(restaurants(repo), by_cuisine, RESTAURANT_TYPES, ("wait",), defaults)
    (answer,) = served(
        loader, RankingQuery(texts("Krone", "Bären", "Siam", "nowhere"), {}, {"wait": texts(0.0, None, 0.0, None)})
    )
    assert listed(answer, "restaurant", "status", "score", "excluded_restaurant") == [
        ["Bären", "Siam", "nowhere", "Krone"],
        ["defaulted", "ok", "defaulted", "defaulted"],
        [6.5, 6.0, 4.5, 4.0],
        [],
    ]
    assert listed(answer, "rating", "cuisine", "wait") == [
        [5.0, 4.0, 3.0, 3.0],
        ["thai", "thai", "thai", "swiss"],
        [0.5, 0.0, 0.5, 0.0],
    ]
    np.testing.assert_array_equal(answer.output("feature_age"), [0, 0, NAN, 0])


@pytest.mark.parametrize("value", [b"\x12\x04th", Value(int64_val=7).SerializeToString()])
def test_no_default_stands_for_what_is_there_and_can_not_be_read(repo: OnlineRepo, value: bytes) -> None:
    loader = Loader(
        restaurants(repo), by_cuisine, RESTAURANT_TYPES, ("wait",), Defaults(np.array([3.0, 0.5]), {"cuisine": "thai"})
    )
    spoil(repo, "Siam", value)
    (answer,) = served(loader, RankingQuery(texts("Siam", "Bären", "Löwen"), {}, {"wait": np.array([0.0])}))
    assert listed(answer, "restaurant", "status", "excluded_restaurant") == [
        ["Bären", "Löwen"],
        ["defaulted", "ok"],
        ["Siam"],
    ]
    assert answer.scored.unreadable.tolist() == [True, False, False]  # which is what the log tells


def test_nobody_left_says_what_the_request_lacks(repo: OnlineRepo) -> None:
    loader = Loader(restaurants(repo), by_cuisine, RESTAURANT_TYPES, ("wait",))
    names = texts("Löwen", "nowhere\n" + "x" * 100)
    left_out, some, none = served(
        loader,
        RankingQuery(names, {}, {"wait": texts(None)}),
        RankingQuery(names, {}, {"wait": np.array([NAN, 1.0])}),
        RankingQuery(names[1:], {}, {"wait": np.array([1.0])}),
    )
    for error in (left_out, some, none):
        assert isinstance(error, NoRankableDriverError)
    shown = "'nowhere\\n" + "x" * 52 + "'..."
    lacks = "No restaurant of the request can be ranked: the request lacks 'wait' (null or NaN),"
    absent = "there are no features, or none that are recent enough,"
    assert str(left_out) == f"{lacks} for 'Löwen', {shown}."
    assert str(some) == f"{lacks} or {absent} for 'Löwen', {shown}."
    assert str(none) == f"No restaurant of the request can be ranked: {absent} for {shown}."


# Pairs: two integer keys and a zone, of which the drivers are ranked


def by_pair(features: Any) -> Any:
    return features @ np.array([10.0, 1.0, 100.0])


def pairs(repo: OnlineRepo) -> FeatureStore:
    affinity = view(repo, "affinities", ("driver_id", "rider_id"), {"affinity": Float32})
    store = applied(repo, affinity, view(repo, "zones", ("zone",), {"demand": Int64}))
    rows = [(1, 7, 0.5), (2, 7, 0.25), (1, 8, 0.125), (2, 8, 4.0)]
    write(store, "affinities", *({"driver_id": d, "rider_id": r, "affinity": a} for d, r, a in rows))
    write(store, "zones", {"zone": "north", "demand": 3}, {"zone": "", "demand": 40})
    return store


PAIR_TYPES = {"affinity": "float", "demand": "long", "passengers": "integer"}


def test_composite_keys_have_one_value_for_all_candidates_or_one_each(repo: OnlineRepo) -> None:
    loader = Loader(pairs(repo), by_pair, PAIR_TYPES, ("passengers",))
    drivers, people = np.array([1, 2, 3]), {"passengers": np.array([2])}
    rider, north, lost = np.array([7]), texts("north"), texts("nowhere")
    found, each, nowhere = served(
        loader,
        RankingQuery(drivers, {"rider_id": rider, "zone": north}, people),
        RankingQuery(
            drivers[:2], {"rider_id": np.array([7, 8]), "zone": texts("", "north")}, {"passengers": np.array([1, 0])}
        ),
        RankingQuery(drivers[:1], {"rider_id": rider, "zone": lost}, people),
    )
    assert listed(found, "driver_id", "score", "excluded_driver_id") == [[1, 2], [208.0, 205.5], [3]]
    assert [found.output(name).dtype for name in PAIR_TYPES] == [np.float32, np.int64, np.int32]
    assert listed(each, "driver_id", "score", "demand") == [[1, 2], [145.0, 43.0], [40, 3]]
    assert "No driver of the request can be ranked: there are no features" in str(nowhere)
    assert list(found.contract.inputs) == ["driver_id", "rider_id", "zone", "passengers"]


def test_a_key_may_be_what_the_model_takes_too(repo: OnlineRepo) -> None:
    def score(features: Any) -> Any:
        return features.numbers @ np.array([1.0, 10.0]) + np.array([len(one) for one in features.texts["zone"]])

    types = {"affinity": "float", "zone": "string", "rider_id": "long"}
    store = pairs(repo)
    loader = Loader(store, score, types | {"demand": "long"}, ("zone", "rider_id"))
    loader.score = lambda rows: score(FeatureRows(rows.numbers[:, :2], rows.texts))
    found, each = served(
        loader,
        RankingQuery(np.array([1, 2]), {"rider_id": np.array([7]), "zone": texts("north")}),
        RankingQuery(np.array([1, 2]), {"rider_id": np.array([7, 8]), "zone": texts("", "north")}),
    )
    assert list(found.contract.inputs) == ["driver_id", "rider_id", "zone"]
    assert listed(found, "driver_id", "score", "zone", "rider_id") == [[1, 2], [75.5, 75.25], ["north"] * 2, [7, 7]]
    assert listed(each, "driver_id", "score", "zone", "rider_id") == [[2, 1], [89.0, 70.5], ["north", ""], [8, 7]]


def test_what_is_shown_is_what_the_model_was_given_whatever_it_makes_of_it(repo: OnlineRepo) -> None:
    def overwriting(features: Any) -> Any:
        scores = by_pair(features)
        features[:] = -1
        return scores

    loader = Loader(pairs(repo), overwriting, PAIR_TYPES, ("passengers",))
    query = RankingQuery(
        np.array([1, 2]), {"rider_id": np.array([7]), "zone": texts("north")}, {"passengers": np.array([2])}
    )
    for answer in served(loader, query, query):
        assert listed(answer, *PAIR_TYPES, "score") == [[0.5, 0.25], [3, 3], [2, 2], [208.0, 205.5]]


def test_a_model_is_tried_on_what_the_store_has_whatever_its_keys_are(repo: OnlineRepo) -> None:
    def example(loader: Loader) -> RankingQuery | None:
        async def work() -> RankingQuery | None:
            service = RankingService(loader, RuntimeSettings(online_read_timeout=5))  # type: ignore[arg-type] # all of it
            assert await service.start(), service.problem
            try:
                if service.example is not None:
                    await service.rank(service.example, 1)
                return service.example
            finally:
                await service.close()

        return asyncio.run(work())

    by_key = {"affinity": "float", "demand": "long"}
    found = example(Loader(pairs(repo), lambda rows: rows[:, 0], by_key))
    assert found is not None
    assert (sorted(found.candidate.tolist()), found.keys["rider_id"].tolist()) in [([1, 2], [7]), ([1, 2], [8])]
    assert found.keys["zone"].tolist() in [["north"], [""]]
    made_up = example(Loader(pairs(repo), by_pair, PAIR_TYPES, ("passengers",)))
    assert made_up is not None
    assert made_up.request["passengers"].tolist() == [1]
    with pytest.raises(AssertionError, match="fails on rows that the online store has"):
        example(Loader(pairs(repo), lambda rows: rows[:, 0] / 0, by_key))


def test_the_tag_says_which_of_the_keys_is_ranked(repo: OnlineRepo) -> None:
    loader = Loader(pairs(repo), by_pair, PAIR_TYPES, ("passengers",), candidate_key="rider_id")
    asked = {"driver_id": np.array([2]), "zone": texts("north")}
    (answer,) = served(loader, RankingQuery(np.array([7, 8, 9]), asked, {"passengers": np.array([0])}))
    assert listed(answer, "rider_id", "score", "excluded_rider_id") == [[8, 7], [43.0, 5.5], [9]]


def test_what_the_model_can_not_be_given_exactly_is_refused_by_name_and_harms_nobody_else(repo: OnlineRepo) -> None:
    loader = Loader(pairs(repo), by_pair, PAIR_TYPES, ("passengers",))
    keys = {"rider_id": np.array([7]), "zone": texts("north")}
    values = [np.array([1]), np.array([2**31]), np.array([2**53 + 1]), texts(2**70), texts("two"), np.array([0.5])]
    fine, *refused = served(
        loader, *(RankingQuery(np.array([1]), keys, {"passengers": one}) for one in values), np.array([1])
    )
    assert listed(fine, "score") == [[108.0]]
    assert all(type(one) is RequestError for one in refused)
    assert str(refused[0]) == (
        "The input 'passengers' has 2147483648, which the model can't be given exactly: it takes integer, and integers "
        "below 2^53."
    )
    shown = ["has 9007199254740993,", "it has 1180591620717411303424.", "it has 'two'.", "has 0.5, "]
    for part, error in zip(shown, refused[1:5], strict=True):
        assert "The input 'passengers' " in str(error)
        assert part in str(error)
    assert str(refused[5]) == "The request must have the inputs 'driver_id', 'rider_id', 'zone', 'passengers'."


# Trips: an on-demand view computes from a driver's number and the request's, and the model takes one of these too


def cost(inputs: dict[str, Any]) -> dict[str, Any]:
    both = list(zip(inputs["rate"], inputs["distance"], inputs["comfort"], strict=True))
    if any(distance is not None and distance < 0 for _, distance, _ in both):
        message = "a negative distance"
        raise ValueError(message)
    return {"cost": [None if None in one else one[0] * one[1] + one[2] for one in both]}


def fresh(code: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function anew: Feast says of one that it was given that it is of another module."""
    copied = FunctionType(code.__code__, code.__globals__, code.__name__)
    copied.__annotations__, copied.__module__ = code.__annotations__, __name__
    return copied


def trips(repo: OnlineRepo) -> FeatureStore:
    rates = view(repo, "rates", ("driver_id",), {"rate": Float64})
    trip = RequestSource(
        name="trip", schema=[Field(name="distance", dtype=Float64), Field(name="comfort", dtype=Int64)]
    )
    make = on_demand_feature_view(sources=[rates, trip], schema=[Field(name="cost", dtype=Float64)], mode="python")
    store = applied(repo, rates, make(fresh(cost)))
    write(store, "rates", {"driver_id": 1, "rate": 2.0}, {"driver_id": 2, "rate": 3.0})
    return store


def by_cost(features: Any) -> Any:
    return features @ np.array([1.0, -10.0])


TRIP_TYPES = {"cost": "double", "distance": "double"}


def test_what_a_view_computes_from_and_the_model_takes_is_one_input(repo: OnlineRepo) -> None:
    loader = Loader(trips(repo), by_cost, TRIP_TYPES, ("distance",))
    drivers, comfort = np.array([1, 2, 3]), np.array([5])
    long, each, negative, absent = served(
        loader,
        RankingQuery(drivers, {}, {"distance": np.array([2.0]), "comfort": comfort}),
        RankingQuery(drivers[:2], {}, {"distance": np.array([1.0, NAN]), "comfort": np.array([1, 2])}),
        RankingQuery(drivers[:1], {}, {"distance": np.array([-1.0]), "comfort": comfort}),
        RankingQuery(drivers[:1], {}, {"distance": np.array([1.0]), "comfort": np.array([NAN])}),
    )
    assert listed(long, "driver_id", "score", "cost", "excluded_driver_id") == [[2, 1], [-9, -11], [11, 9], [3]]
    assert listed(each, "driver_id", "score", "excluded_driver_id") == [[1], [-7], [2]]
    assert isinstance(negative, OnDemandFeatureError)
    assert "the request lacks 'comfort'" in str(absent)
    assert long.contract.request == (Input("distance", "FP64"), Input("comfort", "INT64"))


def test_a_request_that_waits_is_not_answered_by_a_model_that_takes_its_ids_for_something_else(
    repo: OnlineRepo,
) -> None:
    store = pairs(repo)
    keyed = {"affinity": "float", "demand": "long"}
    one = Loader(store, lambda rows: rows[:, 0], keyed)
    other = Loader(store, lambda rows: rows[:, 0], keyed, candidate_key="rider_id", version="2")

    async def work() -> Any:
        service = RankingService(one, RuntimeSettings(online_read_timeout=5))  # type: ignore[arg-type] # all of it
        await service.start()
        goes_on = asyncio.Event()
        held = asyncio.create_task(service._coalescer.exclusively(goes_on.wait))  # noqa: SLF001 - so that it waits
        await asyncio.sleep(0)
        query = RankingQuery(np.array([7]), {"rider_id": np.array([7]), "zone": texts("north")})
        waiting = asyncio.create_task(service.rank(query, 1))
        reload = asyncio.create_task(service.reload(other))  # type: ignore[arg-type] # all of it that is used
        while service.contract is None or service.contract.candidate.name != "rider_id":  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.001)
        goes_on.set()
        (answer,) = await asyncio.gather(waiting, return_exceptions=True)
        await asyncio.gather(held, reload)
        await service.close()
        return answer

    waited = asyncio.run(work())
    assert isinstance(waited, NotReadyError)
    assert "replaced by one with other inputs" in str(waited)
