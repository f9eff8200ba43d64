/**
 * A server that stores nothing and hardly reads: what it reaches is what the load and the sockets can do at most.
 */
import { createServer } from 'node:net'

const offsets: number[] = []

const server = createServer({ noDelay: true }, (socket) => {
  let head = ''
  let bodyLeft = 0
  let answer = ''
  socket.on('data', (chunk) => {
    let at = 0
    if (bodyLeft === 0) {
      head += chunk.toString('latin1')
      const end = head.indexOf('\r\n\r\n')
      if (end === -1) return
      at = chunk.length - (head.length - end - 4)
      bodyLeft = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0)
      answer = answerTo(head, bodyLeft)
      head = ''
    }
    bodyLeft -= chunk.length - at
    if (bodyLeft === 0) socket.write(answer, 'latin1')
  })
  socket.on('error', () => socket.destroy())
})

function answerTo(head: string, length: number): string {
  if (head.startsWith('POST')) {
    const id = offsets.push(0) - 1
    return `HTTP/1.1 201 Created\r\nLocation: /files/${id}\r\nContent-Length: 0\r\n\r\n`
  }
  const id = Number(/ \/files\/(\d+) /.exec(head)?.[1])
  offsets[id] = (offsets[id] ?? 0) + length
  return `HTTP/1.1 ${head.startsWith('HEAD') ? '200 OK' : '204 No Content'}\r\nUpload-Offset: ${offsets[id]}\r\n\r\n`
}

process.once('SIGTERM', () => process.exit())
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  if (address !== null && typeof address === 'object') console.log(`listening on 127.0.0.1:${address.port}`)
})
