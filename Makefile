# make demo    install into .venv and run the demo fleet
# make test    lint, types and tests in .venv-test (PYTEST="-n 0 -k ..." passes options)
# make agreement  put every case of tests/oracle to real Ansible too, and say how many answers agree
# make oracle  install real Ansible for the tests that compare with it, each version in an environment of its own
# make kerberos  build what the tests log in by Kerberos with
# make bench   measure side by side with other tools (BENCH="--help" passes options)
# make clean   remove what these made

PYTHON ?= python3
# Most tests wait for something: three processes keep two cores busy. A file's tests share one.
PARALLEL ?= -n 3 --dist loadfile
PIP = -m pip --quiet --disable-pip-version-check

SOURCES := setup.py pyproject.toml README.md $(shell find sshexec connectors inventory -name '*.py' -o -name '*.ps1' -o -name py.typed)

.PHONY: demo test lint types agreement oracle kerberos bench clean sshd packages
.DELETE_ON_ERROR:

demo: .venv/installed sshd
	.venv/bin/sshexec demo

test: lint types packages oracle kerberos
	.venv-test/bin/python -m pytest $(PARALLEL) $(PYTEST)

lint: .venv-test/installed
	.venv-test/bin/ruff check .
	.venv-test/bin/ruff format --check .

# A quarter of an hour; `make test` takes some cases of every module.
agreement: packages oracle .venv-test/installed
	SSHEXEC_ORACLE=full .venv-test/bin/python -m pytest $(PARALLEL) $(PYTEST) tests/oracle

# Checkers do not read package_dir, so they get an installed copy.
types: .venv-test/installed
	rm -rf build/lib build/types
	.venv-test/bin/python $(PIP) install --no-deps --no-build-isolation --target build/types .
	cd build/types && ../../.venv-test/bin/mypy --config-file ../../pyproject.toml --cache-dir ../../.mypy_cache -p sshexec

# Development only, and never a dependency: ansible-core is GPL, and needs a Python of its own choice.
oracle:
	@$(MAKE) --no-print-directory .venv-oracle/2.19.14 .venv-oracle-2.18/2.18.19 .venv-oracle/runner-2.4.3 \
	    .venv-oracle/winrm-0.5.0 || \
	  echo "ansible-core, ansible-runner or pywinrm for them could not be installed: going on without" >&2

.venv-oracle/2.19.14 .venv-oracle-2.18/2.18.19: | .venv-oracle/bin/pip .venv-oracle-2.18/bin/pip
	$(@D)/bin/python $(PIP) install ansible-core==$(@F)
	@touch $@

.venv-oracle/runner-2.4.3: | .venv-oracle/2.19.14
	$(@D)/bin/python $(PIP) install ansible-$(@F:runner-%=runner==%)
	@touch $@

.venv-oracle/winrm-0.5.0: | .venv-oracle/2.19.14
	$(@D)/bin/python $(PIP) install 'pywinrm[credssp]==$(@F:winrm-%=%)'
	@touch $@

# The clients and the server of tests/winrm_server log in by Kerberos too: C modules, built where libkrb5-dev is, once
# `packages` had its chance to bring it. Fast to build counts here, not fast to run.
kerberos: packages
	@if command -v krb5-config >/dev/null; then \
	    CFLAGS=-O0 $(MAKE) --no-print-directory .venv-test/kerberos .venv-oracle/kerberos; \
	  else false; fi || echo "what logs in by Kerberos could not be built (libkrb5-dev): going on without" >&2

.venv-test/kerberos: .venv-test/installed
	$(@D)/bin/python $(PIP) install pykerberos 'pyspnego[kerberos]'
	@touch $@

.venv-oracle/kerberos: | .venv-oracle/winrm-0.5.0
	$(@D)/bin/python $(PIP) install pykerberos
	@touch $@

bench: .venv-test/installed sshd
	.venv-test/bin/python -m bench $(BENCH)

clean:
	rm -rf .venv .venv-test .venv-oracle .venv-oracle-2.18 build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find sshexec connectors inventory tests bench -name __pycache__ -prune -exec rm -rf {} +

# An OpenSSH server to talk to, where it can be had: without one the demo embeds a server and tests skip or say so.
sshd:
	@.ci/packages || echo "openssh-server could not be installed: going on without" >&2

# And what else the tests talk to: sudo, doas, busybox and a Kerberos realm.
packages:
	@PYTHON="$(PYTHON)" .ci/packages all || \
	  echo "openssh-server, sudo, doas, busybox or krb5 could not be installed: going on without" >&2

.venv/installed: $(SOURCES) | .venv/bin/pip
	rm -rf build/lib
	.venv/bin/python $(PIP) install .
	@touch $@

.venv-test/installed: setup.py pyproject.toml | .venv-test/bin/pip
	.venv-test/bin/python $(PIP) install --editable '.[test]'
	@touch $@

# Debian's Python has no ensurepip without python3-venv: then the pip that is there brings one.
.venv/bin/pip .venv-test/bin/pip .venv-oracle/bin/pip .venv-oracle-2.18/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "Python 3.10 or newer is needed; $(PYTHON) is not one. Try: make PYTHON=/path/to/python3 $(MAKECMDGOALS)" >&2; exit 1; }
	@if $(PYTHON) -c 'import ensurepip' 2>/dev/null; then $(PYTHON) -m venv $(@:/bin/pip=); else \
	  $(PYTHON) -m venv --without-pip $(@:/bin/pip=) && \
	  $(PYTHON) $(PIP) install --target "$$($(@D)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" pip && \
	  printf '#!/bin/sh\nexec "%s/python" -m pip "$$@"\n' "$(CURDIR)/$(@D)" > $@ && chmod +x $@; fi || \
	  { rm -rf $(@:/bin/pip=); echo "no virtual environment: $(PYTHON) lacks venv or pip (Debian: apt-get install python3-venv)" >&2; exit 1; }
