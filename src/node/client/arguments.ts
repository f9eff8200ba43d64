import { readFileSync } from 'node:fs'
import { validateHeaderName, validateHeaderValue } from 'node:http'
import { parseArgs } from 'node:util'
import { type ChecksumAlgorithm, checksumAlgorithms } from '../../body/checksum.ts'
import { ConfigError } from '../config.ts'
import { parseSize } from '../size.ts'

const options = {
  to: { type: 'string' },
  parallel: { type: 'string' },
  checksum: { type: 'string' },
  header: { type: 'string', multiple: true },
  metadata: { type: 'string', multiple: true },
  'chunk-size': { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const

/** What `fileloft upload --help` prints. */
export const uploadHelp = `fileloft upload: uploads files to a tus server, and goes on where it was interrupted

Usage: fileloft upload FILE... --to URL [flags]
       program | fileloft upload - --to URL [flags]

  --to URL                 where uploads are created, such as https://example.com/files/
  --parallel N             send each file in N parts at the same time; the server needs concatenation [1]
  --checksum ALGORITHM     have the server check every request: ${checksumAlgorithms().join(', ')}
  --chunk-size SIZE        most bytes of a request, such as 16MiB [no limit; 8MiB with --checksum and for -]
  --header 'NAME: VALUE'   goes with every request; several by giving it again; @FILE reads them from a file
  --metadata NAME=VALUE    likewise; filename is that of the file unless it is given
  -h, --help               show this

The URL of each upload goes to standard output, a line each; everything else to standard error.
Interrupted, the same command goes on with what the server has; not so with standard input (-).

Exit codes: 0 all uploaded; 1 an upload failed; 2 wrong use; 130 interrupted (SIGINT), 143 (SIGTERM)
`

/** What is to be uploaded, where to and how. */
export interface UploadArguments {
  /** Paths; `-` is standard input. */
  readonly files: readonly string[]
  readonly to: URL
  readonly parallel: number
  readonly checksum: ChecksumAlgorithm | null
  readonly headers: Readonly<Record<string, string>>
  readonly metadata: Readonly<Record<string, string>>
  /** Bytes. */
  readonly chunkSize: number | null
}

type Flags = ReturnType<typeof parse>['values']

/**
 * Reads what stands after `fileloft upload`. Null when it asks for help.
 * @throws ConfigError with all that is wrong.
 */
export function readUploadArguments(args: readonly string[]): UploadArguments | null {
  const { values, positionals: files } = parse(args)
  if (values.help === true) return null
  const problems: string[] = []
  const metadata = readMetadata(values.metadata ?? [], problems)
  const parsed = {
    files,
    to: readUrl(values.to, problems),
    parallel: readParallel(values.parallel, problems),
    checksum: readChecksum(values.checksum, problems),
    headers: readHeaders(values.header ?? [], problems),
    metadata,
    chunkSize: readChunkSize(values['chunk-size'], problems),
  }
  if (files.length === 0) problems.push('a FILE is needed, or - for standard input')
  const isFromInput = files.includes('-')
  if (files.indexOf('-') !== files.lastIndexOf('-')) problems.push('- can be given once only')
  if (isFromInput && parsed.parallel > 1) {
    problems.push('--parallel cannot be used with -: where standard input can be split is known at its end only')
  }
  if (files.length > 1 && metadata['filename'] !== undefined) {
    problems.push('--metadata filename=... would give several files the same name')
  }
  if (parsed.to === null || problems.length > 0) {
    throw new ConfigError([...problems, 'fileloft upload --help tells more'])
  }
  return { ...parsed, to: parsed.to }
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true })
  } catch (error) {
    const [sentence = ''] = (error instanceof Error ? error.message : String(error)).split('. ', 1)
    throw new ConfigError([`${sentence}: fileloft upload --help`])
  }
}

function readUrl(text: Flags['to'], problems: string[]): URL | null {
  if (text === undefined) {
    problems.push('--to URL is needed')
    return null
  }
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || !['http:', 'https:'].includes(url.protocol)) {
    problems.push(`--to is ${JSON.stringify(text)}; it must be an http or https URL`)
    return null
  }
  return url
}

function readParallel(text: string | undefined, problems: string[]): number {
  if (text === undefined) return 1
  const count = /^\d{1,3}$/.test(text) ? Number(text) : 0
  if (count < 1 || count > 100) problems.push(`--parallel is ${JSON.stringify(text)}; it must be 1 to 100`)
  return count
}

function readChecksum(text: string | undefined, problems: string[]): ChecksumAlgorithm | null {
  if (text === undefined) return null
  const known = checksumAlgorithms().find((each) => each === text)
  if (known === undefined) {
    problems.push(`--checksum is ${JSON.stringify(text)}; it must be one of ${checksumAlgorithms().join(', ')}`)
  }
  return known ?? null
}

function readChunkSize(text: string | undefined, problems: string[]): number | null {
  if (text === undefined) return null
  const size = parseSize(text) ?? 0
  // "16" is meant to be another unit, and would be a request for every 16 bytes.
  if (size < 1024) {
    problems.push(`--chunk-size is ${JSON.stringify(text)}; it must be bytes, or a size such as 16MiB, 1KiB at least`)
  }
  return size
}

function readMetadata(texts: readonly string[], problems: string[]): Record<string, string> {
  const pairs = texts.map((text) => /^([!-+\--<>-~]+)=([^]*)$/.exec(text))
  for (const [index, pair] of pairs.entries()) {
    if (pair === null) {
      problems.push(
        `--metadata is ${JSON.stringify(texts[index])}; it must be NAME=VALUE, NAME without spaces and commas`,
      )
    }
  }
  return Object.fromEntries(pairs.flatMap((pair) => (pair === null ? [] : [[pair[1], pair[2]]])))
}

/** A value may be a secret: no message quotes it. */
function readHeaders(texts: readonly string[], problems: string[]): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const line of texts.flatMap((text) => (text.startsWith('@') ? readLines(text.slice(1), problems) : [text]))) {
    const [, name = '', value = ''] = /^([^:]*):(.*)$/.exec(line) ?? []
    try {
      validateHeaderName(name)
      validateHeaderValue(name, value.trim())
      headers[name] = value.trim()
    } catch {
      problems.push(`--header must be 'Name: value'; that of ${JSON.stringify(name)} is not`)
    }
  }
  return headers
}

function readLines(path: string, problems: string[]): string[] {
  try {
    return readFileSync(path, 'utf8')
      .split(/\r?\n/)
      .filter((line) => line.trim() !== '')
  } catch {
    problems.push(`--header @${path}: that file cannot be read`)
    return []
  }
}
