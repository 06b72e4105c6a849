"""``driver_ranking init``: a complete project of any Feast feature repo.

The way of a repo: it is copied (``repo_copy``, ``store_config``), applied into a registry that is thrown away
(``applied``), a feature service is found or written (``selection``, ``new_service``), orders and a request are taken or
made of its sources (``labelled``), a model is fitted on them once (``trial``), and the template is rendered
(``rendering``) into a folder that appears when it is whole (``project``).

The template is a cookiecutter, the format of Kedro's starters: cookiecutter comes with Kedro, so that nothing more is
installed, and ``kedro new --starter`` can take the same folder.
"""
