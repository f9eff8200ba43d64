/**
 * Whether a runtime's own way of writing files beats `node:fs` as src/files uses it: 256 MiB in chunks of 64 KiB to one
 * file, synced at the end. Run by `bun bench/fast-paths.ts [FOLDER]` or `deno run -A bench/fast-paths.ts [FOLDER]`.
 */
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { promisify } from 'node:util'
import { dataSync, write } from '../src/files/io.ts'
import { vectorWriter } from '../src/files/vectors.ts'

const size = 256 << 20
const chunkSize = 64 << 10
/** As src/files/vectors.ts gathers. */
const gathered = 512 << 10
const rounds = 9

const folder = fs.mkdtempSync(join(process.argv[2] ?? tmpdir(), 'fileloft-fast-paths-'))
const path = join(folder, 'file')

/** Fresh memory for each chunk, as a socket brings it. */
function* chunks(): Generator<Uint8Array<ArrayBuffer>> {
  for (let at = 0; at < size; at += chunkSize) yield new Uint8Array(chunkSize).fill(at >> 16)
}

/** What is of Deno used here. */
interface DenoFiles {
  open(path: string, options: object): Promise<DenoFile>
}

interface DenoFile {
  write(chunk: Uint8Array): Promise<number>
  syncData(): Promise<void>
  close(): void
}

async function byNode(): Promise<void> {
  const fd = fs.openSync(path, 'r+')
  const writer = vectorWriter(fd, 0, { settle: () => dataSync(fd) })
  for (const chunk of chunks()) await writer.push(chunk)
  await writer.end()
  await dataSync(fd)
  fs.closeSync(fd)
}

/** Into two buffers in turn, one of which is being written: a whole one, or in pieces as src/files has them. */
async function gather(writeOut: (buffer: Uint8Array<ArrayBuffer>, position: number) => Promise<void>): Promise<void> {
  const buffers = [new Uint8Array(gathered), new Uint8Array(gathered)]
  let running: Promise<void> | undefined
  let filled = 0
  let position = 0
  for (const chunk of chunks()) {
    const [buffer = chunk] = buffers
    buffer.set(chunk, filled)
    filled += chunk.length
    if (filled < gathered) continue
    await running
    running = writeOut(buffer, position)
    buffers.reverse()
    position += filled
    filled = 0
  }
  await running
}

async function byNodeGathered(pieces: number): Promise<void> {
  const fd = fs.openSync(path, 'r+')
  await gather(async (buffer, position) => {
    if (pieces === 1) return void (await write(fd, buffer, 0, buffer.length, position))
    const length = buffer.length / pieces
    const vector = Array.from({ length: pieces }, (_, i) => buffer.subarray(i * length, (i + 1) * length))
    await promisify(fs.writev)(fd, vector, position)
  })
  await dataSync(fd)
  fs.closeSync(fd)
}

async function byBun(): Promise<void> {
  const fd = fs.openSync(path, 'r+')
  const sink = Bun.file(fd).writer({ highWaterMark: gathered })
  let waiting = 0
  for (const chunk of chunks()) {
    void sink.write(chunk)
    waiting += chunk.length
    if (waiting < gathered) continue
    await sink.flush()
    waiting = 0
  }
  await sink.flush()
  await dataSync(fd)
  await sink.end()
}

async function byDeno(isGathered: boolean): Promise<void> {
  const { Deno } = globalThis as unknown as { Deno: DenoFiles }
  const file = await Deno.open(path, { write: true })
  const writeAll = async (bytes: Uint8Array) => {
    for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at))
  }
  if (isGathered) await gather(writeAll)
  else for (const chunk of chunks()) await writeAll(chunk)
  await file.syncData()
  file.close()
}

const own: readonly (readonly [string, () => Promise<void>])[] =
  'Bun' in globalThis
    ? [['Bun.file().writer()', byBun]]
    : 'Deno' in globalThis
      ? [
          ['Deno.FsFile.write of each chunk', () => byDeno(false)],
          ['Deno.FsFile.write of 512 KiB', () => byDeno(true)],
        ]
      : []
const ways: readonly (readonly [string, () => Promise<void>])[] = [
  ['node:fs, as src/files', byNode],
  ['node:fs, write of 512 KiB', () => byNodeGathered(1)],
  ['node:fs, writev of four pieces', () => byNodeGathered(4)],
  ...own,
]
const taken = ways.map(() => ({ seconds: [] as number[], cpu: [] as number[] }))

for (let round = 0; round < rounds; round++) {
  for (const [index, [name, run]] of ways.entries()) {
    fs.rmSync(path, { force: true })
    fs.writeFileSync(path, '')
    const [started, before] = [performance.now(), process.cpuUsage()]
    await run()
    const { user, system } = process.cpuUsage(before)
    if (fs.statSync(path).size !== size) throw new Error(`${name}: ${fs.statSync(path).size} bytes`)
    // The first one warms up.
    if (round === 0) continue
    taken[index]?.seconds.push((performance.now() - started) / 1000)
    taken[index]?.cpu.push((user + system) / 1e6)
  }
}
fs.rmSync(folder, { recursive: true })

for (const [index, [name]] of ways.entries()) {
  const { seconds, cpu } = taken[index] ?? { seconds: [], cpu: [] }
  const rate = size / (1 << 20) / median(seconds)
  console.log(`${name.padEnd(32)} ${rate.toFixed(0).padStart(6)} MiB/s  ${median(cpu).toFixed(3)} s of CPU`)
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN
}
