/** The workflows for GitHub: the same checks as .ci/run, nothing that can change behind our back, no needless rights. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { parse } from 'yaml'

interface Step {
  readonly uses?: string
  readonly run?: string
  readonly with?: Readonly<Record<string, unknown>>
}
interface Job {
  readonly needs?: string
  readonly 'runs-on': string
  readonly 'timeout-minutes'?: number
  readonly permissions?: Readonly<Record<string, string>>
  readonly steps: readonly Step[]
}
interface Workflow {
  readonly on: Readonly<Record<string, unknown>>
  readonly permissions?: Readonly<Record<string, string>>
  readonly jobs: Readonly<Record<string, Job>>
}

const folder = new URL('../.github/workflows/', import.meta.url)
const names = readdirSync(folder)
const { scripts } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { scripts: object }

function load(name: string): { text: string; workflow: Workflow; jobs: Job[]; steps: Step[] } {
  const text = readFileSync(new URL(name, folder), 'utf8')
  const workflow = parse(text) as Workflow
  const jobs = Object.values(workflow.jobs)
  return { text, workflow, jobs, steps: jobs.flatMap((job) => job.steps) }
}

test('there are the two workflows', () => assert.deepEqual(names.sort(), ['ci.yml', 'release.yml']))

for (const name of names) {
  test(`${name}: every action is pinned to a commit, with the version beside it`, () => {
    const { text, steps } = load(name)
    const uses = steps.flatMap((step) => (step.uses === undefined ? [] : [step.uses]))
    assert.ok(uses.length > 0)
    for (const action of uses) {
      assert.match(action, /^[\w-]+\/[\w-]+@[0-9a-f]{40}$/)
      assert.match(text, new RegExp(`${action} # v\\d+\\.\\d+\\.\\d+\\n`))
    }
  })

  test(`${name}: reads only, unless a job says more, keeps no credentials, ends by itself`, () => {
    const { workflow, jobs, steps } = load(name)
    assert.ok(workflow.permissions !== undefined)
    for (const right of Object.values(workflow.permissions)) assert.equal(right, 'read')
    assert.ok(!('pull_request_target' in workflow.on))
    for (const step of steps.filter(({ uses }) => uses?.startsWith('actions/checkout@'))) {
      assert.equal(step.with?.['persist-credentials'], false)
    }
    for (const job of jobs) assert.ok((job['timeout-minutes'] ?? Infinity) <= 120)
    for (const job of jobs) assert.doesNotMatch(job['runs-on'], /latest/)
  })

  test(`${name}: no command has an expression in it, which whoever names a branch could write`, () => {
    for (const { run = '' } of load(name).steps) assert.doesNotMatch(run, /\$\{\{/)
  })

  test(`${name}: the scripts it runs are those of package.json`, () => {
    for (const { run = '' } of load(name).steps) {
      for (const [, script = ''] of run.matchAll(/npm run (?:--silent )?([\w:-]+)/g)) {
        assert.ok(Object.hasOwn(scripts, script), `package.json has no script ${script}`)
      }
    }
  })
}

test('ci.yml: runs .ci/run for changes on main and for those proposed, and nothing that is not in it', () => {
  const { workflow, steps } = load('ci.yml')
  assert.deepEqual(Object.keys(workflow.on).sort(), ['pull_request', 'push'])
  const commands = steps.flatMap(({ run }) => (run === undefined ? [] : [run]))
  assert.equal(commands.length, 1)
  assert.match(commands[0] ?? '', /(^| )\.ci\/run$/)
})

test('release.yml: for tags only, and publishes by npm run release after all that ci.yml checks', () => {
  const { workflow } = load('release.yml')
  assert.deepEqual(workflow.on, { push: { tags: ['v*'] } })
  const { check, publish } = workflow.jobs
  assert.deepEqual(check?.steps, load('ci.yml').workflow.jobs['check']?.steps)
  assert.deepEqual(check?.permissions, { contents: 'read' })
  assert.equal(publish?.needs, 'check')
  assert.ok(publish.steps.some(({ run = '' }) => run.endsWith(' npm run release')))
})
