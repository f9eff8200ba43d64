# Runs Ceph's gateway by the ceph.conf in this folder, with a monitor on this port and what else it needs.
set -e
export CEPH_CONF="$PWD/ceph.conf"

# What it starts ends when this process does, however that ends.
bound='setpriv --pdeathsig KILL'

mkdir mon osd rgw
for name in mon. client.admin osd.0 client.rgw; do
  new=; [ -e keyring ] || new=-C
  ceph-authtool $new keyring -n $name --gen-key --cap mon 'allow *' --cap osd 'allow *' >/dev/null
done
monmaptool --create --fsid "$(sed -n 's/^fsid = //p' ceph.conf)" --addv a "[v2:127.0.0.1:$MONITOR_PORT]" monmap
ceph-mon -i a --mkfs --monmap monmap --keyring keyring
$bound ceph-mon -i a -f &
ceph-osd -i 0 --mkfs --osd-uuid "$(cat /proc/sys/kernel/random/uuid)"
$bound ceph osd new "$(cat osd/fsid)"
$bound ceph-osd -i 0 -f &
$bound radosgw-admin user create --uid tests --display-name tests --access-key "$ACCESS_KEY" --secret-key "$SECRET_KEY"
exec radosgw -f -n client.rgw
