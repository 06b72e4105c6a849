"""The offline store on Spark: the same rules, part by part."""
