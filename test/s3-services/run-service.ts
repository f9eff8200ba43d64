/** What every service that speaks S3 has to go through: the protocol, the driver, and a start that is told what is wrong. */
import { checks, conformance, nodeFetch } from '../buckets/s3-server.ts'
import { runOnServer } from '../run-on-server.ts'
import type { S3Server } from '../servers/s3.ts'
import { s3StoreOf } from '../servers/stores.ts'
import { surplusParts } from './surplus.ts'

/** @param start Resolves to null where the service is not installed. */
export async function runService(name: string, start: () => Promise<S3Server | null>): Promise<void> {
  const server = await start()
  await runOnServer(name, () => Promise.resolve(server), s3StoreOf)
  if (server === null) return
  await conformance(server, nodeFetch)
  await checks(server)
  await surplusParts(server)
}
