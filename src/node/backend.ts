import { variables } from './variables.ts'

/** Where uploads are kept. */
export type Backend = 'fs' | 's3' | 'gcs' | 'azure'

/** Where uploads are kept on disk when nothing else is said. The images say it, whatever they store on. */
export const defaultDirectory = '/var/lib/fileloft'

type Key = keyof typeof variables

/** What names each backend's place. */
const places = { s3: 's3Bucket', gcs: 'gcsBucket', azure: 'azureContainer' } as const satisfies Record<string, Key>
const shared: readonly Key[] = ['partSize', 'partConcurrency', 'bufferBudget', 'infoPrefix']

/**
 * The backend that is meant, and what speaks against it: a place that is missing, settings of another backend. Where
 * `FILELOFT_BACKEND` says which one it is, those of others are merely odd: one environment for several servers.
 */
export function chooseBackend(
  settings: Readonly<Partial<Record<Key, unknown>>>,
  given: ReadonlySet<string>,
): { readonly name: Backend; readonly problems: readonly string[]; readonly warnings: readonly string[] } {
  const nameOf = (key: Key) => variables[key].name
  const said = settings['backend'] as Backend | undefined
  const named = (['s3', 'gcs', 'azure'] as const).filter((backend) => given.has(places[backend]))
  const name = said ?? named[0] ?? 'fs'
  const problems: string[] = []
  if (said === undefined && named.length > 1) {
    const all = named.map((backend) => nameOf(places[backend])).join(' and ')
    problems.push(`${all} are both set; ${nameOf('backend')} must say which one counts: ${named.join(', ')}`)
    return { name, problems, warnings: [] }
  }
  if (name !== 'fs' && !given.has(places[name])) {
    problems.push(`${nameOf('backend')} is "${name}" and needs ${nameOf(places[name])}`)
  }
  const idle = [...given]
    .filter((key) => isOfOther(key as Key, name) && !(key === 'dataDir' && settings[key] === defaultDirectory))
    .map((key) => nameOf(key as Key))
  const unused = idle.map((each) => `${each} has no effect: the uploads are kept on ${name}`)
  if (name === 'azure') problems.push(...azureProblems(settings))
  const { partSize, bufferBudget } = settings
  if (name !== 'fs' && typeof partSize === 'number' && typeof bufferBudget === 'number' && partSize > bufferBudget) {
    problems.push(`${nameOf('bufferBudget')} must be at least ${nameOf('partSize')}`)
  }
  return said === undefined
    ? { name, problems: [...problems, ...unused], warnings: [] }
    : { name, problems, warnings: unused }
}

function isOfOther(key: Key, backend: Backend): boolean {
  if (key === 'dataDir' || key === 'sync') return backend !== 'fs'
  if (shared.includes(key)) return backend === 'fs'
  const owner = (['s3', 'gcs', 'azure'] as const).find((each) => key.startsWith(each))
  return owner !== undefined && owner !== backend
}

function azureProblems(settings: Readonly<Partial<Record<Key, unknown>>>): string[] {
  const { azureConnectionString, azureAccount, azureEndpoint } = settings
  if ([azureConnectionString, azureAccount, azureEndpoint].some((value) => value !== undefined)) return []
  const names = (['azureConnectionString', 'azureAccount', 'azureEndpoint'] as const).map((key) => variables[key].name)
  return [`${variables.azureContainer.name} needs one of ${names.join(', ')}`]
}
