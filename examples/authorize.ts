/**
 * Uploads by signed URLs: your app decides who may upload what, and hands the browser a URL that needs nothing else.
 * As `server.mts`: `node server.mts`, then
 * `curl -X POST http://127.0.0.1:8080/avatar-url -H "Cookie: session=demo"`
 */
import { createServer } from 'node:http'
import { createTusHandler } from 'fileloft'
import { toNodeListener } from 'fileloft/node'
import { createSigner, signedUrlHooks } from 'fileloft/signed-urls'
import { fileStore } from 'fileloft/stores/fs'

const port = Number(process.env['PORT'] ?? 8080)
// From your secret store: `openssl rand -base64 32`.
const secret = process.env['UPLOAD_SECRET'] ?? 'only for this demo: 32 bytes or more'
const signer = createSigner({ secret, url: `http://127.0.0.1:${port}/files` })

/** Your own check; here everybody whose cookie says so is signed in. */
function userOf(cookie = ''): string | null {
  return /(?:^|; *)session=demo(?:;|$)/.test(cookie) ? 'user-7' : null
}

const uploads = toNodeListener(
  createTusHandler({
    path: '/files',
    store: fileStore({ directory: './fileloft-data' }),
    ...signedUrlHooks({ secret }),
    onFinish: ({ upload, context }) => console.log(`${upload.id} is from ${String(context?.grant?.claims['sub'])}`),
  }),
)

const server = createServer({ requestTimeout: 0 }, (request, response) => {
  if (request.url !== '/avatar-url' || request.method !== 'POST') return uploads(request, response)
  const user = userOf(request.headers.cookie)
  if (user === null) return void response.writeHead(401).end('Sign in first\n')
  // In the browser: new tus.Upload(file, { endpoint: url, uploadUrl, metadata: { filetype: file.type } })
  void signer
    .signCreation({ maxSize: 5_000_000, types: ['image/*'], claims: { sub: user } })
    .then((signed) => response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(signed)))
})
server.listen(port, '127.0.0.1', () => console.log('listening on', server.address()))
