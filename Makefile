# Needs Python 3.11 or newer, make, and a package index. `make install` does nothing, quickly, when nothing has changed.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
# Hundreds of processes start here: each would compile what the one before has compiled.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install demo up test soak lint bench advisers docs verify
.DEFAULT_GOAL := install

install: $(STAMP)

$(STAMP): uv.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv sync --quiet --frozen --all-extras --inexact --compile-bytecode
	touch $(STAMP)

demo: install
	$(BIN)/selfheal demo $(if $(KEEP),--keep)

up: install
	$(BIN)/selfheal up

# Five at once on two cores: some of the tests wait for a lease to run out. Those are groups, which are sent out first.
# ARGS goes to pytest: make test ARGS="tests/selfheal -x"
test: install
	$(BIN)/pytest -n $(or $(JOBS),5) --dist loadgroup -rs $(ARGS)
	@echo "left out: the long tests (make soak)"
	@test -n "$(DATABASE_URL)" || echo "left out: PostgreSQL and Redis (set DATABASE_URL and CELERY_BROKER_URL)"
	@test -x "$(or $(CHROMIUM),/usr/bin/chromium)" || echo "left out: tests/browser (apt-get install chromium)"
	@for each in prometheus prometheus-alertmanager sshd:openssh-server bwrap:bubblewrap; do \
		PATH=$$PATH:/usr/sbin command -v $${each%:*} >/dev/null || echo "left out: what needs $${each%:*} (apt-get install $${each#*:})"; done

# What takes minutes: hundreds of kills, thousands of cases, audits by tools of others.
soak: install
	$(BIN)/pytest -n 2 --dist loadgroup -rs -m soak $(ARGS)
	@for each in go:golang-go strace:strace bwrap:bubblewrap systemd-analyze:systemd prometheus prometheus-alertmanager; do \
		command -v $${each%:*} >/dev/null || echo "left out: what needs $${each%:*} (apt-get install $${each#*:})"; done

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	SELF_HEAL_HOME=.mypy_cache/home $(BIN)/mypy selfheal healing learning metafocus config
	$(BIN)/lint-imports
	$(BIN)/deptry .

# site/ is what a static web server can serve; a link that leads nowhere is an error.
docs: install
	$(BIN)/python docs/generate.py --check
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

# From outside: an installation of its own takes an alert; migrations both ways, audits by others, the site, the demo.
verify: install
	$(BIN)/selfheal smoke --throwaway
	$(MAKE) --no-print-directory soak docs demo

# ARGS names what is measured: make bench ARGS="group tick"
bench: install
	$(BIN)/python -m tests.bench $(ARGS)

# How good the advisers are, on ../shared/data. ARGS names those that are wanted: make advisers ARGS="rootcause diagnosis"
advisers: install
	$(BIN)/python -m tests.advisers $(ARGS)
