/** fileloft in a Fastify app. As `server.mts`: `node server.mts`, then upload to http://127.0.0.1:8080/files */
import fastify, { type FastifyReply, type FastifyRequest } from 'fastify'
import { createTusHandler } from 'fileloft'
import { toNodeListener } from 'fileloft/node'
import { fileStore } from 'fileloft/stores/fs'

const listener = toNodeListener(
  createTusHandler({
    path: '/files',
    store: fileStore({ directory: './fileloft-data' }),
    onFinish: ({ upload }) => console.log(`${upload.id} is complete: ${upload.offset} bytes`),
  }),
)

// Before Fastify looks at the body.
const onRequest = (request: FastifyRequest, reply: FastifyReply): void => {
  reply.hijack()
  listener(request.raw, reply.raw)
}

const app = fastify()
app.all('/files', { onRequest }, () => {})
app.all('/files/*', { onRequest }, () => {})
app.get('/', () => 'Upload to /files\n')

console.log('listening on', await app.listen({ port: Number(process.env['PORT'] ?? 8080), host: '127.0.0.1' }))
