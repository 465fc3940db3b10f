"""The edge: the only floor that imports dagster. It pins, loads, hands over and shows; what it calls decides nothing by Dagster."""
