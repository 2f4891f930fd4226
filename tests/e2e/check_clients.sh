#!/bin/sh
# make check-clients, in the build folder: what make check leaves out of serve_clients.sh and serve_bad.sh. Installs what is
# not there: the two client packages, and, unless CADFORGE_TRL_PYTHON names a Python that has them, trl, torch, transformers and
# openenv (about 2 GB to fetch, once), all into clients/.
set -eu
: "${srcdir:=.}"
install() { # install NAME PACKAGE...
	name=$1
	shift
	stamp="$(cd -P "$srcdir" && pwd) $*" # quickstart's too: what it has put there is not installed again
	if [ ! -f "clients/$name/cadforge.stamp" ] || [ "$(cat "clients/$name/cadforge.stamp")" != "$stamp" ]; then
		echo "# installing $* into clients/$name"
		rm -rf "clients/$name"
		mkdir -p clients
		python3 -m venv "clients/$name"
		"clients/$name/bin/python" -m pip install --quiet --no-input --disable-pip-version-check --no-user "$@"
		echo "$stamp" > "clients/$name/cadforge.stamp"
	fi
}
if [ -z "${CADFORGE_OPENENV_PYTHONS:-}" ]; then
	install openenv-core openenv-core==0.2.3
	install openenv openenv
fi
if [ -z "${CADFORGE_TRL_PYTHON:-}" ]; then
	# where TRL looks for tool calls is where it changes most: one version
	install trl trl==1.16.0 torch transformers openenv
	CADFORGE_TRL_PYTHON=$PWD/clients/trl/bin/python
	CADFORGE_OPENENV_PYTHONS=${CADFORGE_OPENENV_PYTHONS:-"$PWD/clients/openenv-core/bin/python $PWD/clients/openenv/bin/python"}
	export CADFORGE_OPENENV_PYTHONS
fi
export CADFORGE_TRL_PYTHON
status=0
sh "$srcdir/tests/e2e/serve_clients.sh" || status=1
MANY=1 sh "$srcdir/tests/e2e/serve_bad.sh" || status=1
exit $status
