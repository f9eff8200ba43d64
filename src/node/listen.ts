import { once } from 'node:events'
import { chmodSync, existsSync, lstatSync, unlinkSync } from 'node:fs'
import { connect, createServer, type ListenOptions, type Server } from 'node:net'
import { dirname, resolve } from 'node:path'
import { type Address, formatAddress } from './address.ts'
import type { Config } from './config.ts'

/**
 * Starts to listen where the configuration says; returns the address with its real port, or the path of the socket.
 * @param shared Where servers of other threads listen as well, instead: the system deals connections out to all of them.
 * @throws Error that says in one line why it cannot.
 */
export async function listen(server: Server, config: Config, shared: Address | null): Promise<Address | string> {
  const { unixSocket, unixSocketMode } = config
  const bind = shared ?? config.bind
  if (unixSocket === undefined) {
    return explained(formatAddress(bind), () => listenOnPort(server, bind, { reusePort: shared !== null }))
  }
  const name = resolve(unixSocket)
  return explained(name, async () => {
    await removeStale(name)
    await listenOnSocket(server, name, unixSocketMode)
    return name
  })
}

/**
 * Listens for a moment without sharing, and finds the port if any will do: a port that is shared can also be had by
 * another process of this user, which would silently get half of the connections.
 * @throws Error that says in one line why it cannot.
 */
export async function claimPort(address: Address): Promise<Address> {
  return explained(formatAddress(address), async () => {
    const probe = createServer()
    const found = await listenOnPort(probe, address)
    probe.close()
    await once(probe, 'close')
    return found
  })
}

async function explained<T>(name: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw new Error(`Cannot listen on ${name}: ${reasonOf(error)}`, { cause: error })
  }
}

async function listenOnPort(server: Server, { host, port }: Address, options: ListenOptions = {}): Promise<Address> {
  server.listen({ ...options, host, port })
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new TypeError('not a TCP address')
  return { host: address.address, port: address.port }
}

async function listenOnSocket(server: Server, path: string, mode: number | undefined): Promise<void> {
  // The socket is made within `listen`, so nobody gets in before its mode is set.
  const umask = mode === undefined ? null : process.umask(0o777)
  try {
    server.listen(path)
  } finally {
    if (umask !== null) process.umask(umask)
  }
  await once(server, 'listening')
  if (mode !== undefined) chmodSync(path, mode)
}

/** A crash leaves its socket behind. One that still answers, and a file of another kind, are not ours to remove. */
async function removeStale(path: string): Promise<void> {
  // `listen` would call it a lack of permission.
  if (!existsSync(dirname(path))) throw new Error('there is no such directory')
  const stats = lstatSync(path, { throwIfNoEntry: false })
  if (stats === undefined) return
  if (!stats.isSocket()) throw new Error('there is a file of that name which is no socket')
  if (await answers(path)) throw new Error('another process listens there')
  unlinkSync(path)
}

async function answers(path: string): Promise<boolean> {
  const socket = connect(path)
  try {
    await once(socket, 'connect')
    return true
  } catch (error) {
    // Anything but a refusal leaves it open.
    return codeOf(error) !== 'ECONNREFUSED'
  } finally {
    socket.destroy()
  }
}

const reasons: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another process listens there',
  EACCES: 'this user is not allowed to',
  EPERM: 'this user is not allowed to',
  EADDRNOTAVAIL: 'this machine has no such address',
  ENOTFOUND: 'there is no host of that name',
}

function reasonOf(error: unknown): string {
  return reasons[codeOf(error)] ?? (error instanceof Error ? error.message : String(error))
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}
