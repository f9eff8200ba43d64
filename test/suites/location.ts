import type { LocationOptions } from '../../src/index.ts'
import { bytesOf } from './bodies.ts'
import { expectOffset, locationOf, patch, post, type Headers } from './client.ts'
import { equal, expect, fail, ok, type Case, type Context, type Server, type Suite } from './support.ts'

/** What a proxy says, and what Location begins with. `$` stands for the address that was asked. */
const trusted: readonly [Headers, string][] = [
  [{ 'X-Forwarded-Proto': 'https' }, 'https://$/files/'],
  [{ 'X-Forwarded-Proto': 'https,http' }, 'https://$/files/'],
  [{ 'X-Forwarded-Proto': 'https, http' }, 'https://$/files/'],
  [{ 'X-Forwarded-Proto': 'HTTPS' }, 'https://$/files/'],
  [{ 'X-Forwarded-Host': 'up.example.com' }, 'http://up.example.com/files/'],
  [{ 'X-Forwarded-Host': 'up.example.com, inner' }, 'http://up.example.com/files/'],
  [{ 'X-Forwarded-Host': 'up.example.com:8443', 'X-Forwarded-Proto': 'https' }, 'https://up.example.com:8443/files/'],
  [
    { 'X-Forwarded-Host': 'up.example.com', 'X-Forwarded-Port': '8443', 'X-Forwarded-Proto': 'https' },
    'https://up.example.com:8443/files/',
  ],
  [
    { 'X-Forwarded-Host': 'up.example.com', 'X-Forwarded-Port': '443', 'X-Forwarded-Proto': 'https' },
    'https://up.example.com/files/',
  ],
  [{ 'X-Forwarded-Host': 'up.example.com', 'X-Forwarded-Port': '80' }, 'http://up.example.com/files/'],
  [{ 'X-Forwarded-Host': '[2001:db8::1]:8443' }, 'http://[2001:db8::1]:8443/files/'],
  [{ 'X-Forwarded-Prefix': '/api/v1' }, 'http://$/api/v1/files/'],
  [{ 'X-Forwarded-Prefix': '/api/' }, 'http://$/api/files/'],
  [{ 'X-Forwarded-Prefix': '/' }, 'http://$/files/'],
  [{ Forwarded: 'proto=https;host=up.example.com' }, 'https://up.example.com/files/'],
  [{ Forwarded: 'for=192.0.2.1;Host="up.example.com:8443";Proto=HTTPS' }, 'https://up.example.com:8443/files/'],
  [{ Forwarded: 'for="[2001:db8::7]";proto=https, for=10.0.0.1;proto=http' }, 'https://$/files/'],
]

/** Nobody's proxy: values that must not reach Location as they are. */
const hostile: readonly Headers[] = [
  { 'X-Forwarded-Proto': 'javascript' },
  { 'X-Forwarded-Proto': 'https://evil.test/' },
  { 'X-Forwarded-Proto': '' },
  { 'X-Forwarded-Host': 'evil.test/path' },
  { 'X-Forwarded-Host': 'user@evil.test' },
  { 'X-Forwarded-Host': 'evil.test?x#y' },
  { 'X-Forwarded-Host': 'a b' },
  { 'X-Forwarded-Host': 'a\tb' },
  { 'X-Forwarded-Host': '"><script>' },
  { 'X-Forwarded-Host': '' },
  { 'X-Forwarded-Host': ',' },
  { 'X-Forwarded-Host': 'evil.test:99999' },
  { 'X-Forwarded-Port': '99999' },
  { 'X-Forwarded-Port': '0x50' },
  { 'X-Forwarded-Port': '80@evil.test' },
  { 'X-Forwarded-Prefix': '//evil.test' },
  { 'X-Forwarded-Prefix': 'evil.test' },
  { 'X-Forwarded-Prefix': '/a?b#c' },
  { 'X-Forwarded-Prefix': '/a b' },
  { 'X-Forwarded-Prefix': '/\\evil.test' },
  { 'X-Forwarded-Prefix': '/..' },
  { Forwarded: 'host="evil.test/x"' },
  { Forwarded: 'host="a\\"b"' },
  { Forwarded: ';;;=,,"' },
  { Forwarded: 'proto=ftp;host=_' },
]

export const suite: Suite = {
  name: 'Location',
  cases: [
    {
      // Creation, POST: "This URL MAY be absolute or relative."
      title: 'POST, defaults: absolute, from the address that was asked',
      async run(ctx) {
        const { server, location } = await located(ctx, undefined)
        ok(location.startsWith(`${server.origin}/files/`), `Location: ${location}`)
      },
    },
    {
      title: 'POST, relative: a path, whatever a proxy says of scheme and host',
      async run(ctx) {
        const headers = { 'X-Forwarded-Proto': 'https', 'X-Forwarded-Host': 'up.example.com' }
        const { location } = await located(ctx, { relative: true }, headers)
        ok(/^\/files\/[0-9a-f]+$/.test(location), `Location: ${location}`)
      },
    },
    ...['https://up.example.com/u', 'https://up.example.com/u/'].map((baseUrl): Case => ({
      title: `POST, baseUrl ${baseUrl}: below it, whatever a proxy says`,
      async run(ctx) {
        const headers = { 'X-Forwarded-Host': 'evil.test', 'X-Forwarded-Proto': 'http' }
        const { location } = await located(ctx, { baseUrl, trustForwarded: true }, headers)
        ok(/^https:\/\/up\.example\.com\/u\/[0-9a-f]+$/.test(location), `Location: ${location}`)
      },
    })),
    {
      title: 'POST with forwarded headers, not trusted: as if they were not there',
      async run(ctx) {
        for (const [headers] of trusted) {
          const { server, location } = await located(ctx, {}, headers)
          ok(location.startsWith(`${server.origin}/files/`), `Location: ${location}`)
        }
      },
    },
    ...trusted.map(([headers, wanted]): Case => ({
      title: `POST with ${JSON.stringify(headers)}, trusted: ${wanted.replace('$', 'HOST')}`,
      async run(ctx) {
        const { server, location } = await located(ctx, { trustForwarded: true }, headers)
        const start = wanted.replace('$', new URL(server.url).host)
        ok(location.startsWith(start), `Location: ${location}, wanted ${start}...`)
        ok(/^[0-9a-f]+$/.test(location.slice(start.length)), `Location: ${location}`)
      },
    })),
    ...hostile.map((headers): Case => ({
      title: `POST with ${JSON.stringify(headers)}, trusted: Location stays one harmless URL`,
      async run(ctx) {
        const { server, location } = await located(ctx, { trustForwarded: true }, headers)
        ok(/^https?:\/\/[^/?#@\s"<>\\]+\/[!-~]+$/.test(location), `Location: ${location}`)
        const url = new URL(location)
        equal(url.href, location, 'Location as a URL parser writes it')
        ok(!url.hostname.includes('evil.test') || url.pathname.startsWith('/files/'), `Location: ${location}`)
        equal(url.search + url.hash + url.username, '', 'query, fragment and user')
        ok(url.pathname.includes('/files/'), `Location: ${location} is not below the mount`)
        // And it still names the upload.
        await expectOffset(server, server.origin + url.pathname.slice(url.pathname.indexOf('/files/')), 0)
      },
    })),
    {
      title: 'POST behind a prefix, trusted: partial URLs as they were told can be concatenated',
      async run(ctx) {
        const server = await ctx.serve({ location: { trustForwarded: true } })
        const proxy = { 'X-Forwarded-Prefix': '/api', 'X-Forwarded-Host': 'up.example.com' }
        const headers = { 'Upload-Concat': 'partial', 'Upload-Length': '3', ...proxy }
        const told = (await expect(await post(server, headers), 201)).headers.get('Location') ?? fail('no Location')
        ok(told.startsWith('http://up.example.com/api/files/'), `Location: ${told}`)
        const url = server.origin + new URL(told).pathname.slice('/api'.length)
        await expect(await patch(server, url, 0, bytesOf(3)), 204)
        await expect(await post(server, { 'Upload-Concat': `final;${told}`, ...proxy }), 201)
      },
    },
    {
      title: 'POST below a baseUrl with another path: partial URLs as they were told can be concatenated',
      async run(ctx) {
        const server = await ctx.serve({ location: { baseUrl: 'https://up.example.com/public/u' } })
        const headers = { 'Upload-Concat': 'partial', 'Upload-Length': '3' }
        const told = (await expect(await post(server, headers), 201)).headers.get('Location') ?? fail('no Location')
        const url = server.url + told.slice('https://up.example.com/public/u'.length)
        await expect(await patch(server, url, 0, bytesOf(3)), 204)
        await expect(await post(server, { 'Upload-Concat': `final;${told}` }), 201)
      },
    },
    {
      title: 'POST, ids with segments and signs: encoded in Location, found by it',
      async run(ctx) {
        const ids = ['a/b c/ü', "x!'()+,;=@~&$", '100-percent', 'ａ']
        const server = await ctx.serve({ generateId: () => ids.shift() ?? 'last' })
        for (const id of ids.slice()) {
          const response = await post(server, { 'Upload-Length': '3' })
          const location = (await expect(response, 201)).headers.get('Location') ?? fail('no Location')
          ok(/^[!-~]+$/.test(location), `Location: ${location}`)
          equal(location, new URL(location).href, 'Location as a URL parser writes it')
          const url = await locationOf(server, response)
          await expect(await patch(server, url, 0, bytesOf(3)), 204)
          equal((await server.store.get(id))?.offset, 3, `offset of ${id} in the store`)
        }
      },
    },
  ],
}

async function located(
  ctx: Context,
  location: LocationOptions | undefined,
  headers: Headers = {},
): Promise<{ server: Server; location: string }> {
  const server = await ctx.serve(location === undefined ? {} : { location })
  const response = await post(server, { 'Upload-Length': '5', ...headers })
  return { server, location: (await expect(response, 201)).headers.get('Location') ?? fail('201 without Location') }
}
