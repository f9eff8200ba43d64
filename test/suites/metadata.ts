import { base64, bytesOf } from './bodies.ts'
import { create, createWith, expectOffset, incomplete, post, recordOf } from './client.ts'
import { equal, expect, expectRefusal, type Case, type Suite } from './support.ts'

const valid = [
  ['two pairs, one without value', 'filename d29ybGRfZG9taW5hdGlvbl9wbGFuLnBkZg==,is_confidential'],
  ['a key alone', 'is_confidential'],
  ['an empty value after its space', 'a ,b YQ=='],
  ['values in UTF-8 and binary', `name ${base64('naïve ☃')},raw ${base64(new Uint8Array([0, 13, 10, 34, 255]))}`],
  ['every sign that a key may have', `!"#$%&'()*+-./:;<=>?@[\\]^_\`{|}~aZ09 YQ==`],
  ['keys that differ in case', 'Key YQ==,key Yg=='],
  ['keys of JavaScript', '__proto__ YQ==,constructor Yg==,toString Yw=='],
  ['a value with every base64 sign', 'a +/+/'],
] as const

const invalid = [
  ['a key twice', 'a YQ==,b Yg==,a Yw=='],
  ['a key twice without values', 'a,a'],
  ['an empty pair', 'a YQ==,,b Yg=='],
  ['a comma at the end', 'a YQ==,'],
  ['a comma alone', ','],
  ['a value in two words', 'a YQ== Yg=='],
  ['a value that is not base64', 'a !!!!'],
  ['a value without padding', 'a YQ'],
  ['a value with padding inside', 'a YQ==YQ=='],
  ['padding alone', 'a ='],
  ['a value in the URL alphabet', 'a -_-_'],
  ['a key beyond ASCII', '\u00e4 YQ=='],
  ['a tab in a key', 'a\tb YQ=='],
] as const

export const suite: Suite = {
  name: 'metadata',
  cases: [
    ...valid.map(([what, value]): Case => ({
      // Creation, POST: "responses to HEAD requests MUST include the Upload-Metadata header and its value as
      // specified by the Client during the creation."
      title: `POST with ${what} in Upload-Metadata: HEAD repeats it to the byte, before and after PATCH`,
      async run(ctx) {
        const server = await ctx.serve()
        const empty = await create(server, 5, { 'Upload-Metadata': value })
        await expectOffset(server, empty, 0, { 'Upload-Metadata': value })
        const full = await createWith(server, bytesOf(5), { 'Upload-Metadata': value })
        await expectOffset(server, full, 5, { 'Upload-Metadata': value })
        equal((await recordOf(server, full)).metadata, value, 'metadata in the record')
      },
    })),
    ...invalid.map(([what, value]): Case => ({
      // Creation, Upload-Metadata: "The key MUST NOT contain spaces and commas and MUST NOT be empty. The key SHOULD
      // be ASCII encoded and the value MUST be Base64 encoded. All keys MUST be unique."
      title: `POST with ${what} in Upload-Metadata: 400 that names it, nothing stored`,
      async run(ctx) {
        const server = await ctx.serve()
        const response = await post(server, { 'Upload-Length': '5', 'Upload-Metadata': value })
        await expectRefusal(response, 400, /Upload-Metadata/)
        equal((await incomplete(server.store)).length, 0, 'uploads in the store')
      },
    })),
    {
      title: 'POST with an empty Upload-Metadata: no metadata, HEAD has no such header',
      async run(ctx) {
        const server = await ctx.serve()
        await expectOffset(server, await create(server, 5, { 'Upload-Metadata': '' }), 0, { 'Upload-Metadata': null })
      },
    },
    {
      title: 'POST with 8 KiB of Upload-Metadata: 201; with one byte more: 400',
      async run(ctx) {
        const server = await ctx.serve()
        const fits = `k ${'YWFh'.repeat(2047)}`
        const exact = `${'k'.repeat(8192 - fits.length + 1)} ${'YWFh'.repeat(2047)}`
        equal(exact.length, 8192, 'length of the longest metadata')
        await expect(await post(server, { 'Upload-Length': '5', 'Upload-Metadata': exact }), 201)
        const response = await post(server, { 'Upload-Length': '5', 'Upload-Metadata': `k${exact}` })
        await expectRefusal(response, 400, /Upload-Metadata/)
      },
    },
    {
      title: 'POST, maxMetadataSize 10: 10 bytes pass, 11 are 400',
      async run(ctx) {
        const server = await ctx.serve({ maxMetadataSize: 10 })
        await expect(await post(server, { 'Upload-Length': '5', 'Upload-Metadata': 'abcde YQ==' }), 201)
        const response = await post(server, { 'Upload-Length': '5', 'Upload-Metadata': 'abcdef YQ==' })
        await expectRefusal(response, 400, /Upload-Metadata/)
      },
    },
    {
      title: 'POST with Upload-Metadata: onCreate is shown it as it came',
      async run(ctx) {
        const seen: (string | null)[] = []
        const server = await ctx.serve({ onCreate: ({ upload }) => void seen.push(upload.metadata) })
        await create(server, 5, { 'Upload-Metadata': 'a YQ==,b' })
        await create(server, 5)
        equal(JSON.stringify(seen), '["a YQ==,b",null]', 'metadata shown')
      },
    },
  ],
}
