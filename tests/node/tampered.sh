# On a node that is up: runs its own init at roots of their own, in each of which something of its release was tampered with, and says what came
# of it, a line for each. Changes nothing of the node itself.
set -u
umask 077
dir=$(mktemp -d)
init=/opt/anymetal/bin/anymetal-init
origin=$(sed -n 's/.*anymetal\.origin=\([^ ]*\).*/\1/p' /proc/cmdline)

# A root with what user-data brought, without an origin, and with a memory of nothing.
root() {
  rm -rf "$dir/root"
  mkdir -p "$dir/root/etc/anymetal" "$dir/root/proc" "$dir/root/var/lib/anymetal"
  cp /etc/machine-id "$dir/root/etc/"
  echo quiet >"$dir/root/proc/cmdline"
  cd "$dir/root/etc/anymetal" || exit 1
  for file in pins signers release.json release.json.minisig plan.json secrets.json; do cp /etc/anymetal/$file .; done
  sed -i '/^origin /d' pins
}

# The pins follow the release that lies there.
repin() {
  set -- "$(sha256sum <release.json)" "$(wc -c <release.json)"
  sed -i "s/^release .*/release ${1%% *} $2/" pins
}

# told NAME WORDS: whether init says these words before it ends; it is ended when it has said them, or not within half a minute.
told() {
  "$init" run --root "$dir/root" --backoff-cap-ms 500 >"$dir/said" 2>&1 &
  pid=$! looks=0
  until grep -qF -- "$2" "$dir/said" || ! kill -0 $pid 2>/dev/null || [ $looks -ge 150 ]; do
    sleep 0.2
    looks=$((looks + 1))
  done
  kill -9 $pid 2>/dev/null
  wait $pid 2>/dev/null
  if grep -qF -- "$2" "$dir/said"; then echo "$1: yes"; else echo "$1: no"; cat "$dir/said"; fi
}

# A bundle of the release and the plan that lie there, with the inits they pin; its index says what that release says.
bundle() {
  mkdir -p b/sha256
  cp release.json release.json.minisig b/
  for file in release.json plan.json; do
    set -- "$(sha256sum <"$file")"
    cp "$file" "b/sha256/${1%% *}"
  done
  sed -n 's/^init .* //p' pins | while read -r sha256; do curl -sS -m 60 -o "b/sha256/$sha256" "$origin/sha256/$sha256"; done
  python3 - b <<'END'
import hashlib, json, os, sys
os.chdir(sys.argv[1])
release = json.load(open("release.json"))
blobs = sorted(os.listdir("sha256"))
json.dump({
    "kind": "anymetal.bundle", "version": 1, "site": release["site"], "plan": release["plan"]["sha256"],
    "release": hashlib.sha256(open("release.json", "rb").read()).hexdigest(),
    "inits": {arch: init["sha256"] for arch, init in release["inits"].items()},
    "blobs": [{"sha256": name, "size": os.stat("sha256/" + name).st_size, "name": "a thing"} for name in blobs]}, open("index.json", "w"))
END
  (cd b && tar --format=ustar --numeric-owner --owner=0 --group=0 --mode=0644 --mtime=@0 -b1 \
    -cf ../../../var/lib/anymetal/bundle.tar index.json release.json release.json.minisig sha256/*)
  rm -r b release.json plan.json
}

root
told 'as it was' '] plan      done'
root; sed -i 's/"serial":1,/"serial":2,/' release.json; repin
told 'another release' '(release-signature-wrong)'
root; rm signers release.json.minisig; cp /var/lib/anymetal/trust.json ../../var/lib/anymetal/
told 'no signature' '(release-unsigned)'
root; sed -i 's/"site":/"site" :/' plan.json
told 'another plan' 'names no origin, and there is no bundle with the plan'
root; sed 's/"serial":1,/"serial":9,/' /var/lib/anymetal/trust.json >../../var/lib/anymetal/trust.json
told 'an older release' 'its serial is 1, and this node has run serial 9'
root; bundle
told 'from a bundle' '] plan      done'
root; sed -i 's/"serial":1,/"serial":2,/' release.json; bundle
told 'another bundle' 'bundle.tar is refused: checking who signed the release'
root; bundle; printf x | dd of=../../var/lib/anymetal/bundle.tar bs=1 seek=700 conv=notrunc 2>/dev/null
told 'a damaged bundle' 'bundle.tar is damaged or no bundle'
cd /
rm -rf "$dir"
