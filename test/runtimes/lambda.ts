/** What stands before a function on AWS Lambda: it hands over whole requests as events, bytes in base64. */
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { TusHandler } from '../../src/index.ts'

/**
 * Bytes of a synchronous invocation's request and answer, as JSON:
 * https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
 */
const most = { event: 6 * 1024 ** 2, answer: 6 * 1024 ** 2 + 100 }

export interface Events {
  /** Bytes of each event that reached the function. */
  readonly sizes: number[]
}

/** A server that invokes the example with this handler in it; not listening yet. */
export async function lambdaServer(handler: TusHandler, { sizes }: Events = { sizes: [] }): Promise<Server> {
  // The example makes a store as it is loaded.
  process.env['AWS_REGION'] ??= 'us-east-1'
  const { toLambda } = await import('../../examples/aws-lambda.ts')
  const invoke = toLambda(handler)
  return createServer((incoming, outgoing) => {
    const respond = async (): Promise<void> => {
      // Rejects where the request is cut.
      const event = eventOf(incoming, Buffer.concat(await incoming.toArray()))
      const size = JSON.stringify(event).length
      if (size > most.event) return void outgoing.writeHead(413).end('{"message":"Request Too Long"}')
      sizes.push(size)
      const answer = await invoke(event)
      if (JSON.stringify(answer).length > most.answer) return void outgoing.writeHead(502).end()
      outgoing.writeHead(answer.statusCode, answer.headers).end(Buffer.from(answer.body, 'base64'))
    }
    respond().catch(() => outgoing.destroy())
  })
}

function eventOf({ url = '/', method = 'GET', headers }: IncomingMessage, body: Buffer) {
  const at = url.indexOf('?')
  return {
    rawPath: at < 0 ? url : url.slice(0, at),
    rawQueryString: at < 0 ? '' : url.slice(at + 1),
    headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)])),
    ...(body.length > 0 && { body: body.toString('base64') }),
    isBase64Encoded: true,
    requestContext: { domainName: headers.host ?? '', http: { method, sourceIp: '127.0.0.1' } },
  }
}
