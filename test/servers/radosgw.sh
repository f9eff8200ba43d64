# Runs Ceph's gateway by the ceph.conf in this folder, with the monitor that it names and what else it needs.
set -e
export CEPH_CONF="$PWD/ceph.conf"

# What it starts ends when this process does, however that ends.
bound='setpriv --pdeathsig KILL'

mkdir mon osd rgw
for name in mon. client.admin osd.0 client.rgw; do
  new=; [ -e keyring ] || new=-C
  ceph-authtool $new keyring -n $name --gen-key --cap mon 'allow *' --cap osd 'allow *' >/dev/null
done
setting() {
  sed -n "s/^$1 = //p" ceph.conf
}
$bound monmaptool --create --fsid "$(setting fsid)" --addv a "$(setting 'mon host' | sed 's,/0,,')" monmap
$bound ceph-mon -i a --mkfs --monmap monmap --keyring keyring
$bound ceph-mon -i a -f &
$bound ceph-osd -i 0 --mkfs --osd-uuid "$(cat /proc/sys/kernel/random/uuid)"
$bound ceph osd new "$(cat osd/fsid)"
$bound ceph-osd -i 0 -f &
$bound radosgw-admin user create --uid tests --display-name tests --access-key "$ACCESS_KEY" --secret-key "$SECRET_KEY"
exec radosgw -f -n client.rgw
