/** Lets tus-js-client speak HTTP/2, as browsers do, where its own requests on Node are HTTP/1.1. */
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { HttpRequest, HttpResponse, HttpStack } from 'tus-js-client'

/** @param ca PEM of the certificates to trust. */
export function http2Stack(ca: string): HttpStack {
  return { createRequest: (method, url) => new Http2Request(method, url, ca), getName: () => 'http2' }
}

/** Node's client of HTTP/2 does not always notice that its connection was cut; a browser does. In milliseconds. */
const silenceMs = 15_000

class Http2Request implements HttpRequest {
  readonly #method: string
  readonly #url: URL
  readonly #ca: string
  readonly #headers: Record<string, string> = {}
  #session: ClientHttp2Session | null = null
  #onProgress: (sent: number) => void = () => undefined

  constructor(method: string, url: string, ca: string) {
    this.#method = method
    this.#url = new URL(url)
    this.#ca = ca
  }

  getMethod = () => this.#method
  getURL = () => this.#url.href
  setHeader = (name: string, value: string) => void (this.#headers[name.toLowerCase()] = value)
  getHeader = (name: string) => this.#headers[name.toLowerCase()]
  setProgressHandler = (handler: (sent: number) => void) => void (this.#onProgress = handler)
  getUnderlyingObject = () => this.#session

  send(body: unknown): Promise<HttpResponse> {
    const session = connect(this.#url.origin, { ca: this.#ca })
    this.#session = session
    return new Promise<HttpResponse>((resolve, reject) => {
      session.on('error', reject).on('close', () => reject(new Error('the connection was closed')))
      session.setTimeout(silenceMs, () => reject(new Error('the connection is silent')))
      const head = { ':method': this.#method, ':path': this.#url.pathname + this.#url.search, ...this.#headers }
      const stream = session.request(head, { endStream: body === null || body === undefined })
      stream.on('error', reject)
      stream.on('response', (headers) => {
        let text = ''
        stream.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
        stream.on('end', () => {
          const values: Record<string, unknown> = headers
          resolve({
            getStatus: () => Number(headers[':status']),
            getHeader: (name) => values[name.toLowerCase()] as string | undefined,
            getBody: () => text,
            getUnderlyingObject: () => stream,
          })
          session.close()
        })
      })
      if (body !== null && body !== undefined) this.#write(stream, body).catch(reject)
    }).finally(() => session.destroy())
  }

  abort(): Promise<void> {
    this.#session?.destroy()
    return Promise.resolve()
  }

  async #write(stream: ClientHttp2Stream, body: unknown): Promise<void> {
    let sent = 0
    const report = () => this.#onProgress(sent)
    const source = body instanceof Readable ? body : Readable.from([body as Uint8Array])
    await pipeline(
      source,
      async function* count(pieces: AsyncIterable<Uint8Array>) {
        for await (const piece of pieces) {
          yield piece
          sent += piece.length
          report()
        }
      },
      stream,
    )
  }
}
