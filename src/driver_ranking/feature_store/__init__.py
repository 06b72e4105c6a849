"""The Feast side: opening and applying a feature repo, the offline store and the materialization engine."""
