/** Ceph's gateway for S3 (radosgw), over a monitor and one storage daemon that keeps everything in memory. */
import { execFileSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { freePort, type Place, startProgram } from './program.ts'
import { type S3Server, s3FromEnvironment, s3Server, testAccount } from './s3.ts'
import { missing } from './versions.ts'

/** It takes signatures for any region, and no multipart without some of the parts that it has. */
const ways = { takesAnyRegion: true, wantsEveryPart: true }

/** Starts it; null where it is not installed. `TEST_RADOSGW_ENDPOINT` is taken instead where set. */
export async function startRadosgw(): Promise<S3Server | null> {
  const elsewhere = s3FromEnvironment('TEST_RADOSGW')
  if (elsewhere !== null) return { ...elsewhere, ...ways }
  try {
    for (const name of ['radosgw', 'ceph-mon', 'ceph-osd', 'ceph', 'setpriv']) {
      execFileSync('sh', ['-c', `command -v ${name}`], { stdio: 'ignore' })
    }
  } catch {
    return missing("Ceph's gateway", 'apt-get install radosgw ceph-mon ceph-osd')
  }
  const program = await startProgram({
    name: "Ceph's gateway",
    command: 'sh',
    prepare: async (place) => writeFile(`${place.folder}/ceph.conf`, configuration(place, await freePort())),
    args: () => [fileURLToPath(new URL('radosgw.sh', import.meta.url))],
    env: { ACCESS_KEY: testAccount.accessKeyId, SECRET_KEY: testAccount.secretAccessKey },
    ready: { path: '/' },
  })
  const server = { ...program, name: "Ceph's gateway", endpoint: `http://127.0.0.1:${program.port}` }
  return { ...s3Server(server, testAccount), ...ways }
}

function configuration({ port, folder }: Place, monitorPort: number): string {
  return `
[global]
fsid = ${crypto.randomUUID()}
mon host = [v2:127.0.0.1:${monitorPort}/0]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
keyring = ${folder}/keyring
mon data = ${folder}/mon
osd data = ${folder}/osd
rgw data = ${folder}/rgw
run dir = ${folder}
admin socket = ${folder}/$name.asok
pid file =
log file =
log to stderr = true
debug rocksdb = 0
# One copy of everything, in memory.
osd objectstore = memstore
memstore device bytes = 8589934592
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
# However full the disk is that nothing is kept on.
mon data avail crit = 1
mon data avail warn = 1
rgw frontends = beast endpoint=127.0.0.1:${port}
`
}
