// Separable CMA-ES: a normal distribution of vectors that moves to where returns are greater.
// Source: Hansen 2016, "The CMA Evolution Strategy: A Tutorial"; Ros & Hansen 2008 for the diagonal covariance.

export class Evolution {
  /**
   * @param {number} size  of a vector
   * @param {number} population  vectors of a generation
   * @param {number} sigma  the step size at the start
   * @param {{normal: function(): number}} random  standard normal numbers
   */
  constructor(size, population, sigma, random) {
    const n = size;
    const parents = Math.floor(population / 2);
    const weights = Float64Array.from({ length: parents }, (_, k) => Math.log((population + 1) / 2) - Math.log(k + 1));
    const sum = weights.reduce((a, b) => a + b);
    this.weights = weights.map((weight) => weight / sum);
    const mass = 1 / this.weights.reduce((a, b) => a + b * b, 0); // mu_eff
    this.forPathSigma = (mass + 2) / (n + mass + 5); // c_sigma
    this.damping = 1 + 2 * Math.max(0, Math.sqrt((mass - 1) / (n + 1)) - 1) + this.forPathSigma; // d_sigma
    this.forPath = (4 + mass / n) / (n + 4 + 2 * mass / n); // c_c
    const faster = (n + 2) / 3; // than with all covariances, as there are fewer to learn
    this.forOne = Math.min(1, faster * 2 / ((n + 1.3) ** 2 + mass)); // c_1
    this.forMany = Math.min(1 - this.forOne, faster * 2 * (mass - 2 + 1 / mass) / ((n + 2) ** 2 + mass)); // c_mu
    this.expected = Math.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n * n)); // length of a standard normal vector
    const zeros = () => new Float64Array(n);
    Object.assign(this, { n, population, sigma, random, mass, mean: zeros(), variances: zeros().fill(1), path: zeros(), pathSigma: zeros(), generation: 0 });
  }

  /** The vectors of a generation. */
  ask() {
    this.steps = Array.from({ length: this.population }, () => Float64Array.from(this.variances, (variance) => Math.sqrt(variance) * this.random.normal()));
    return this.steps.map((step) => step.map((value, i) => this.mean[i] + this.sigma * value));
  }

  /** Learn from the returns of what `ask` gave, in its order. */
  tell(returns) {
    const { n, mass, variances, path, pathSigma, weights } = this;
    const best = [...returns.keys()].sort((a, b) => returns[b] - returns[a]).slice(0, weights.length).map((k) => this.steps[k]);
    this.generation += 1;
    let length = 0;
    const moved = Float64Array.from({ length: n }, (_, i) => best.reduce((sum, step, k) => sum + weights[k] * step[i], 0));
    for (let i = 0; i < n; i++) {
      this.mean[i] += this.sigma * moved[i];
      pathSigma[i] += -this.forPathSigma * pathSigma[i] + Math.sqrt(this.forPathSigma * (2 - this.forPathSigma) * mass / variances[i]) * moved[i];
      length += pathSigma[i] ** 2;
    }
    length = Math.sqrt(length);
    const usual = Math.sqrt(1 - (1 - this.forPathSigma) ** (2 * this.generation)) * (1.4 + 2 / (n + 1)) * this.expected;
    const short = length < usual; // otherwise the variances wait until the step size has caught up
    for (let i = 0; i < n; i++) {
      path[i] += -this.forPath * path[i] + (short ? Math.sqrt(this.forPath * (2 - this.forPath) * mass) * moved[i] : 0);
      const many = best.reduce((sum, step, k) => sum + weights[k] * step[i] ** 2, 0);
      const missing = short ? 0 : this.forPath * (2 - this.forPath) * variances[i];
      variances[i] += this.forOne * (path[i] ** 2 + missing - variances[i]) + this.forMany * (many - variances[i]);
    }
    this.sigma *= Math.exp(this.forPathSigma / this.damping * (length / this.expected - 1));
  }
}
