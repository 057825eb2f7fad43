"""What stands between a commit and a release: `make release` builds the archives, looks into them and tries them out.

`matrix.toml` lists the environments, `smoke.py` is what runs in each of them, `results/` holds the last report.
"""
