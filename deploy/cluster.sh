#!/bin/sh
# Three nodes of a cluster on this machine, each with a network namespace and an address of its own: "make cluster".
# Needs root, for the namespaces; everything is taken away again when it ends (Ctrl-C). Arguments go to every node:
# make cluster ARGS="--cluster.placement redirect".
set -eu
cd "$(dirname "$0")/.."
bin=${PARLEY:-./bin/parley}
net=${NET:-10.87.0} # the first three numbers of the addresses
dir=${DIR:-data/cluster}
bridge=parley0
names="a b c"

if [ "$(id -u)" != 0 ]; then
	echo "network namespaces need root: sudo make cluster" >&2
	exit 1
fi

number() { case $1 in a) echo 1 ;; b) echo 2 ;; c) echo 3 ;; esac }

pids=
finish() {
	trap - EXIT INT TERM
	for p in $pids; do kill "$p" 2>/dev/null || true; done
	for p in $pids; do wait "$p" 2>/dev/null || true; done
	for n in $names; do ip netns del "parley-$n" 2>/dev/null || true; done
	ip link del $bridge 2>/dev/null || true
}
trap finish EXIT
trap 'exit 0' INT TERM

# What an earlier run that was killed has left.
for n in $names; do ip netns del "parley-$n" 2>/dev/null || true; done
ip link del $bridge 2>/dev/null || true

ip link add $bridge type bridge
ip addr add "$net.254/24" dev $bridge
ip link set $bridge up
mkdir -p "$dir"
chmod 700 "$dir"
[ -s "$dir/cluster.key" ] || (umask 077 && "$bin" cluster-key >"$dir/cluster.key")

start() { # name
	i=$(number "$1")
	ip netns add "parley-$1"
	ip link add "parley-$1" type veth peer name eth0 netns "parley-$1"
	ip link set "parley-$1" master $bridge up
	ip -n "parley-$1" addr add "$net.$i/24" dev eth0
	ip -n "parley-$1" link set lo up
	ip -n "parley-$1" link set eth0 up
	node=$1
	shift
	# The nodes share the authority that signs their certificates, so that a browser that trusts it trusts all three.
	if [ "$node" != a ] && [ -d "$dir/a/ca" ] && [ ! -d "$dir/$node/ca" ]; then
		mkdir -p "$dir/$node"
		cp -a "$dir/a/ca" "$dir/$node/ca"
	fi
	ip netns exec "parley-$node" "$bin" serve --no-qr --data-dir "$dir/$node" --admin.listen 127.0.0.1:9090 \
		--cluster.node "$node" --cluster.url "https://$net.$i:8443" --cluster.size 3 --cluster.placement extend \
		--cluster.listen "$net.$i:10300" --cluster.routes "$net.1:10300,$net.2:10300,$net.3:10300" \
		--cluster.key-file "$dir/cluster.key" --cluster.trunk-listen "$net.$i:10100" "$@" >"$dir/$node.log" 2>&1 &
	pids="$pids $!"
	left=100
	until grep -q '^parley ready' "$dir/$node.log"; do
		left=$((left - 1))
		if [ $left = 0 ] || ! kill -0 $! 2>/dev/null; then
			echo "node $node did not start:" >&2
			tail -20 "$dir/$node.log" >&2
			exit 1
		fi
		sleep 0.1
	done
}

for n in $names; do start "$n" "$@"; done

cat <<END

Three nodes, one cluster. Open the same room on any of them:

  a  https://$net.1:8443/r/town
  b  https://$net.2:8443/r/town
  c  https://$net.3:8443/r/town

Trust them once   https://$net.1:8443/ca
Their logs        $dir/a.log  $dir/b.log  $dir/c.log
The nodes         ip netns exec parley-a $bin nodes
Lose one          kill -9 \$(ip netns pids parley-b)
Stop              Ctrl-C

parley cluster ready https://$net.1:8443 https://$net.2:8443 https://$net.3:8443
END
# The others go on when one is killed; that is the point.
wait
