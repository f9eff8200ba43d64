/** The lines of CHANGELOG.md: what a changeset says, without the commit that it came with. */
export default {
  getReleaseLine: ({ summary }) => `- ${summary.trim().replaceAll('\n', '\n  ')}`,
  getDependencyReleaseLine: () => '',
}
