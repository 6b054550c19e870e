# `make proofs` proves in full what the tests prove by samples, and prints the figures of docs/guarantees.md. As root, with strace and loop
# devices, and with 20 GB free for temporary files; it takes about ten minutes on two cores. Single tests of it take longer than any test may otherwise.
PYTHON ?= python

.PHONY: proofs
proofs:
	AIOARTIFACTS_PROOFS=full $(PYTHON) -m pytest -o faulthandler_timeout=1800 tests/proofs tests/concurrency tests/gcs/test_artifacts_faults.py

# Small mistakes are made in the core, one at a time, and those that no test notices are printed. Needs `pip install mutmut==3.8.1`.
.PHONY: mutants
mutants:
	$(PYTHON) tests/mutants.py
