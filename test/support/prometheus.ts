/** What a server exports, as Prometheus would read it. */
import assert from 'node:assert/strict'
import type { TestServer } from './server.ts'

export interface Metrics {
  /** Type by name. */
  readonly types: ReadonlyMap<string, string>
  /** Help by name. */
  readonly help: ReadonlyMap<string, string>
  /** Every sample as it stands, without its value. */
  readonly series: readonly string[]
  /** The value of the one sample with these labels, or the sum of several; 0 where there is none. */
  value(name: string, labels?: Readonly<Record<string, string>>): number
}

/** @throws AssertionError when a line is none of the text format's. */
export function parseMetrics(text: string): Metrics {
  const types = new Map<string, string>()
  const help = new Map<string, string>()
  const samples: { name: string; labels: Record<string, string>; series: string; value: number }[] = []
  for (const line of text.split('\n')) {
    if (line === '') continue
    const comment = /^# (HELP|TYPE) ([a-z_:][a-z0-9_:]*) (.+)$/i.exec(line)
    if (comment !== null) {
      const [, kind, name = '', rest = ''] = comment
      const map = kind === 'TYPE' ? types : help
      assert.ok(!map.has(name), `${name} is described twice`)
      map.set(name, rest)
      continue
    }
    const sample = /^([a-z_:][a-z0-9_:]*)(?:\{(.*)\})? (\S+)$/i.exec(line)
    assert.ok(sample, `no sample: ${line}`)
    const [, name = '', inner = '', value = ''] = sample
    const labels = Object.fromEntries([...inner.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, k, v]) => [k, v]))
    samples.push({ name, labels, series: line.slice(0, line.lastIndexOf(' ')), value: Number(value) })
  }
  return {
    types,
    help,
    series: samples.map(({ series }) => series),
    value(name, labels = {}) {
      const wanted = Object.entries(labels)
      const fitting = samples.filter((s) => s.name === name && wanted.every(([label, v]) => s.labels[label] === v))
      return fitting.reduce((sum, { value }) => sum + value, 0)
    },
  }
}

/** Asks the port for metrics that the start line names. */
export async function scrape(server: TestServer): Promise<Metrics> {
  const { metrics } = await server.logged(({ msg }) => msg === 'listening')
  assert.ok(typeof metrics === 'string', 'the start line names no address for metrics')
  const answer = await fetch(metrics)
  assert.equal(answer.status, 200)
  assert.match(answer.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/)
  return parseMetrics(await answer.text())
}
