"""What features describe."""

from feast import Entity, ValueType

driver = Entity(
    name="driver",
    join_keys=["driver_id"],
    value_type=ValueType.INT64,
    description="A driver who can be offered a trip",
)
zone = Entity(
    name="zone",
    join_keys=["pickup_zone"],
    value_type=ValueType.STRING,
    description="A part of the town that trips begin in",
)
