/** Requests that no honest client sends, made at random from what attackers, bugs and broken networks send. */
import { octets } from './client.ts'
import { oddNames, oddSegments, oddValues } from './odd.ts'
import type { Random } from './random.ts'

export interface Malformed {
  /** What is wrong with it, for messages. */
  readonly title: string
  readonly wire: Buffer
  /** How the client's side of the connection goes on after the last byte. */
  readonly after: 'wait' | 'end' | 'reset'
  /** It is sound HTTP/1.1: an answer must come from the handler, with all that its answers have. */
  readonly sound: boolean
}

export interface Target {
  /** Path of the collection, without trailing slash. */
  readonly base: string
  /** Path of an upload that is there all along, and must stay. */
  readonly upload: string
  /** Its offset; a request may well hit it. */
  readonly offset: number
}

type Fields = [name: string, value: string][]

interface Draft {
  method: string
  path: string
  fields: Fields
  body: Buffer
}

/** The next malformed request against `target`. */
export function malformed(random: Random, target: Target): Malformed {
  return random.pick(kinds)(random, target)
}

const kinds: readonly ((random: Random, target: Target) => Malformed)[] = [
  oddMethod,
  oddPath,
  oddPath,
  oddHeaders,
  oddHeaders,
  oddHeaders,
  oddHeaders,
  oddBody,
  oddBody,
  oddChunks,
  oddChunks,
  halfRequest,
  flippedBytes,
  noise,
  oddRequestLine,
]

function sound(title: string, draft: Draft): Malformed {
  return { title, wire: Buffer.concat([headOf(draft), draft.body]), after: 'wait', sound: true }
}

function broken(title: string, wire: Buffer, after: Malformed['after'] = 'wait'): Malformed {
  return { title, wire, after, sound: false }
}

/** A request as it should be. */
function valid(random: Random, { base, upload, offset }: Target): Draft {
  const body = random.bytes(random.between(0, 300))
  const withBody: Fields = [
    ['Content-Type', octets],
    ['Content-Length', String(body.length)],
  ]
  const tus: Fields = [
    ['Host', '127.0.0.1'],
    ['Tus-Resumable', '1.0.0'],
  ]
  const none = Buffer.alloc(0)
  const kinds: readonly (() => Draft)[] = [
    () => ({ method: 'HEAD', path: upload, fields: tus, body: none }),
    () => ({ method: 'PATCH', path: upload, fields: [...tus, ['Upload-Offset', String(offset)], ...withBody], body }),
    () => ({ method: 'POST', path: base, fields: [...tus, ['Upload-Length', '1000'], ...withBody], body }),
    () => ({
      method: 'POST',
      path: base,
      fields: [...tus, ['Upload-Length', '0'], ['Content-Length', '0']],
      body: none,
    }),
    () => ({ method: 'DELETE', path: `${base}/${'0'.repeat(32)}`, fields: tus, body: none }),
    () => ({ method: 'OPTIONS', path: base, fields: tus.slice(0, 1), body: none }),
    () => ({ method: 'GET', path: upload, fields: tus.slice(0, 1), body: none }),
  ]
  return random.pick(kinds)()
}

function headOf({ method, path, fields }: Draft): Buffer {
  const lines = [`${method} ${path} HTTP/1.1`, ...fields.map(([name, value]) => `${name}: ${value}`)]
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1')
}

function oddMethod(random: Random, target: Target): Malformed {
  const draft = valid(random, target)
  const known = ['PUT', 'TRACE', 'PROPFIND', 'M-SEARCH', 'PURGE', 'QUERY', 'LINK', 'SEARCH', 'LOCK', 'MKCOL', 'POST']
  const method = random.pick([...known, 'HEAD', 'PATCH', 'GET', 'patch', 'Head', 'CONNECT', 'PRI', '', 'FILES', '\x01'])
  const title = `method ${JSON.stringify(method)}`
  const fields = draft.fields.filter(([name]) => name !== 'Content-Length')
  if (random.chance(0.3)) {
    const override = random.pick([
      'DELETE ME',
      'delete',
      '',
      'TRACE',
      '\t',
      'PATCH, HEAD',
      'PoSt',
      'options',
      'x'.repeat(5000),
    ])
    // The path is that of nothing: an override to DELETE is a DELETE.
    const path = `${target.base}/${'f'.repeat(32)}`
    fields.push(['X-HTTP-Method-Override', override], ['Content-Length', '0'])
    return sound(`override ${JSON.stringify(override)}`, { method: 'POST', path, fields, body: Buffer.alloc(0) })
  }
  fields.push(['Content-Length', String(draft.body.length)])
  const made = { ...draft, method, fields }
  return known.includes(method) || ['HEAD', 'PATCH', 'GET'].includes(method)
    ? { ...sound(title, made), sound: method !== 'TRACE' }
    : broken(title, sound(title, made).wire)
}

function oddPath(random: Random, target: Target): Malformed {
  const draft = valid(random, target)
  const id = target.upload.slice(target.upload.lastIndexOf('/') + 1)
  const segments = Array.from({ length: random.between(1, 6) }, () =>
    random.pick([
      ...oddSegments,
      ...oddSegments,
      id,
      `${id}.info`,
      `%${random.between(0, 255).toString(16).padStart(2, '0')}`,
      'sentinel',
    ]),
  )
  const prefix = random.pick([
    target.base,
    target.base,
    target.base,
    `${target.base}/${id}`,
    '',
    '/filesystem',
    '//files',
  ])
  const query = random.pick(['', '', '', '?', '?x=%zz', '?../..', '?#', `?${'q'.repeat(3000)}`])
  const path = `${prefix}/${segments.join('/')}${query}`
  const destroys = draft.method === 'DELETE' && path.includes(id)
  const method = destroys || draft.method === 'OPTIONS' ? 'HEAD' : draft.method
  const made = { ...draft, method, path }
  // Letters beyond ASCII in a request line are for the parser to judge, and so is what a URL parser refuses.
  return {
    ...sound(`path ${path.slice(0, 200)}`, made),
    sound: /^[\x21-\x7e]*$/.test(path) && path.startsWith(`${target.base}/`) && isBelow(path, target.base),
  }
}

/** Dot segments may have led it out of the mount, to where the handler is not asked. */
function isBelow(path: string, base: string): boolean {
  const { pathname } = new URL(`http://127.0.0.1${path}`)
  return pathname === base || pathname.startsWith(`${base}/`)
}

function oddHeaders(random: Random, target: Target): Malformed {
  const draft = valid(random, target)
  const changed: string[] = []
  let fields = draft.fields
  for (let count = random.between(1, 3); count > 0; count--) {
    const own = fields.map(([name]) => name).filter((name) => name !== 'Content-Length')
    const name = random.chance(0.4) && own.length > 0 ? random.pick(own) : random.pick(oddNames)
    const value = random.chance(0.8) ? random.pick(oddValues) : printable(random, random.between(1, 100))
    // Twice, gone, or other than it was.
    if (random.chance(0.2)) fields = [...fields, [name, value]]
    else if (random.chance(0.15)) fields = fields.filter(([other]) => other !== name)
    else fields = [...fields.filter(([other]) => other !== name), [name, value]]
    changed.push(`${name}: ${value.slice(0, 60)}`)
  }
  const hosts = fields.filter(([name]) => name === 'Host').length
  const size = fields.reduce((sum, [name, value]) => sum + name.length + value.length + 4, 0)
  // Of these, Node's parser refuses some by itself.
  const parsed = hosts === 1 && size < 15_000 && !fields.some(([name]) => ['Connection', 'Upgrade'].includes(name))
  return { ...sound(`${draft.method} with ${changed.join(' | ')}`, { ...draft, fields }), sound: parsed }
}

function oddBody(random: Random, target: Target): Malformed {
  const { base, upload, offset } = target
  const fields: Fields = [
    ['Host', '127.0.0.1'],
    ['Tus-Resumable', '1.0.0'],
    ['Content-Type', octets],
  ]
  const body = random.bytes(random.between(1, 100_000))
  const length = (count: number): Fields => [['Content-Length', String(count)]]
  const patch = (extra: Fields, bytes = body): Draft => ({
    method: 'PATCH',
    path: upload,
    fields: [...fields, ['Upload-Offset', String(offset)], ...extra],
    body: bytes,
  })
  const post = (extra: Fields): Draft => ({ method: 'POST', path: base, fields: [...fields, ...extra], body })
  const wrong = random.bytes(20).toString('base64')
  const kinds: readonly (() => Malformed)[] = [
    () => sound('PATCH with a wrong checksum', patch([...length(body.length), ['Upload-Checksum', `sha1 ${wrong}`]])),
    () =>
      sound(
        'POST with a wrong checksum',
        post([['Upload-Length', '100000'], ...length(body.length), ['Upload-Checksum', `sha1 ${wrong}`]]),
      ),
    () =>
      sound(
        'POST with more than its length',
        post([['Upload-Length', String(body.length - 1)], ...length(body.length)]),
      ),
    () => sound('POST of a final with a body', post([['Upload-Concat', `final;${upload}`], ...length(body.length)])),
    () => ({
      ...sound('PATCH shorter than said', patch(length(body.length + 5))),
      after: random.pick(['end', 'reset']),
      sound: false,
    }),
    () => ({ ...sound('PATCH longer than said', patch(length(Math.floor(body.length / 2)))), sound: false }),
    () => ({
      ...sound('POST broken off', post([['Upload-Length', '200000'], ...length(body.length * 2)])),
      after: random.pick(['end', 'reset']),
      sound: false,
    }),
    () => ({ ...sound('two lengths', patch([...length(body.length), ...length(body.length + 1)])), sound: false }),
    () => ({
      ...sound('length and chunks', patch([...length(body.length), ['Transfer-Encoding', 'chunked']])),
      after: 'end',
      sound: false,
    }),
    () => ({ ...sound('HEAD with a body', { ...patch(length(body.length)), method: 'HEAD' }), sound: false }),
    () =>
      sound('an offset from the future', {
        ...patch(length(body.length)),
        fields: [...fields, ['Upload-Offset', '9007199254740991'], ...length(body.length)],
      }),
  ]
  return random.pick(kinds)()
}

function oddChunks(random: Random, { base, upload, offset }: Target): Malformed {
  const data = random.bytes(random.between(1, 2000))
  const size = data.length.toString(16)
  const good = Buffer.concat([Buffer.from(`${size}\r\n`), data, Buffer.from('\r\n')])
  const [title, tail, parsed] = random.pick<readonly [string, string, boolean]>([
    ['no last chunk', '', false],
    ['a size that is no number', 'zz\r\nhello\r\n0\r\n\r\n', false],
    ['a size below zero', '-5\r\nhello\r\n0\r\n\r\n', false],
    ['a size beyond 64 bits', `${'F'.repeat(17)}\r\nhello\r\n0\r\n\r\n`, false],
    ['a size that announces too much', 'ffff\r\nhello\r\n0\r\n\r\n', false],
    ['no line break after a chunk', '5\r\nhello0\r\n\r\n', false],
    ['bare line feeds', '5\nhello\n0\n\n', false],
    ['a long extension', `5;${'e'.repeat(20_000)}\r\nhello\r\n0\r\n\r\n`, false],
    ['a trailer nobody announced', '0\r\nUpload-Checksum: sha1 x\r\n\r\n', true],
    ['a broken trailer', '0\r\n\x00\x01: \r\n\r\n', false],
    ['a trailer without end', '0\r\nUpload-Checksum: sha1', false],
  ])
  const announce = random.chance(0.3)
  const fields: Fields = [
    ['Host', '127.0.0.1'],
    ['Tus-Resumable', '1.0.0'],
    ['Content-Type', octets],
    [
      'Transfer-Encoding',
      random.chance(0.85) ? 'chunked' : random.pick(['gzip, chunked', 'chunked, gzip', 'x', 'Chunked']),
    ],
    ...(announce ? ([['Trailer', 'Upload-Checksum']] satisfies Fields) : []),
  ]
  const draft: Draft = random.chance(0.7)
    ? { method: 'PATCH', path: upload, fields: [...fields, ['Upload-Offset', String(offset)]], body: good }
    : { method: 'POST', path: base, fields: [...fields, ['Upload-Length', '5000']], body: good }
  const wire = Buffer.concat([headOf(draft), good, Buffer.from(tail, 'latin1')])
  const coding = fields[3]?.[1] === 'chunked'
  return {
    title: `chunks: ${title}`,
    wire,
    after: parsed ? 'wait' : random.pick(['end', 'reset']),
    sound: parsed && coding,
  }
}

function halfRequest(random: Random, target: Target): Malformed {
  const draft = valid(random, target)
  const wire = Buffer.concat([headOf(draft), draft.body])
  const cut = random.between(1, wire.length - 1)
  return broken(
    `${draft.method} up to byte ${cut} of ${wire.length}`,
    wire.subarray(0, cut),
    random.pick(['end', 'reset']),
  )
}

function flippedBytes(random: Random, target: Target): Malformed {
  const draft = valid(random, target)
  const wire = Buffer.concat([headOf(draft), draft.body])
  for (let count = random.between(1, 4); count > 0; count--) {
    wire[random.between(0, wire.length - 1)] = random.between(0, 255)
  }
  return broken(`${draft.method} with flipped bytes`, wire, random.pick(['wait', 'end']))
}

function noise(random: Random): Malformed {
  const [title, wire] = random.pick<readonly [string, Buffer]>([
    ['random bytes', random.bytes(random.between(1, 3000))],
    ['a TLS greeting', Buffer.from('16030100c8010000c40303', 'hex')],
    ['the HTTP/2 preface', Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0', 'latin1')],
    ['zeros', Buffer.alloc(1000)],
    ['empty lines', Buffer.from('\r\n'.repeat(500))],
    ['an endless header', Buffer.from(`GET /files HTTP/1.1\r\nX: ${'y'.repeat(200_000)}`)],
    ['too many headers', Buffer.from(`GET /files HTTP/1.1\r\nHost: x\r\n${'a: b\r\n'.repeat(20_000)}\r\n`)],
  ])
  return broken(title, wire, random.pick(['wait', 'end']))
}

function oddRequestLine(random: Random, { base, upload }: Target): Malformed {
  const line = random.pick([
    `HEAD ${upload}`,
    `HEAD ${upload} HTTP/0.9`,
    `HEAD ${upload} HTTP/1.0`,
    `HEAD ${upload} HTTP/1.2`,
    `HEAD ${upload} HTTP/3.0`,
    `HEAD ${upload} http/1.1`,
    `HEAD  ${upload}  HTTP/1.1`,
    `HEAD ${upload} HTTP/1.1 extra`,
    `HEAD http://evil.example${upload} HTTP/1.1`,
    `HEAD http://[bad${upload} HTTP/1.1`,
    `HEAD http://user:pass@host:99999${upload} HTTP/1.1`,
    `HEAD ftp://x${upload} HTTP/1.1`,
    'OPTIONS * HTTP/1.1',
    `POST * HTTP/1.1`,
    `CONNECT evil.example:443 HTTP/1.1`,
    `POST ${base.slice(1)} HTTP/1.1`,
    `POST //evil.example${base} HTTP/1.1`,
    `POST \\${base} HTTP/1.1`,
    `POST ${base}#x HTTP/1.1`,
    `POST ${base}\x00 HTTP/1.1`,
    `POST ${base}/${'y'.repeat(70_000)} HTTP/1.1`,
    ` POST ${base} HTTP/1.1`,
  ])
  const rest = 'Host: 127.0.0.1\r\nTus-Resumable: 1.0.0\r\nUpload-Length: 3\r\nContent-Length: 0\r\n'
  return broken(`request line ${JSON.stringify(line.slice(0, 80))}`, Buffer.from(`${line}\r\n${rest}\r\n`, 'latin1'))
}

function printable(random: Random, length: number): string {
  return Array.from(random.bytes(length), (byte) => String.fromCharCode(0x20 + (byte % 95))).join('')
}
