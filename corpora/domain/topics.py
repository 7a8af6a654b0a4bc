# ruff: noqa: E501 -- the lists read best as they are, one thought a line
"""Hand-written subject matter for the templated prompts: topics and slot fillers, by domain."""


def words(text: str) -> tuple[str, ...]:
    """Splits a list written with bars."""
    return tuple(part.strip() for part in text.split("|"))


TOPICS = {
    "biology": words(
        "photosynthesis|cell division|mitosis|meiosis|dna replication|protein synthesis|ribosomes|the cell membrane|osmosis|genetic drift|natural selection|"
        "speciation|dominant and recessive genes|chromosomes|gene expression|epigenetics|the food web|predator and prey cycles|keystone species|biodiversity|"
        "bird migration|whale songs|bee colonies|ant colonies|spider silk|octopus camouflage|bat echolocation|frog metamorphosis|snake venom|shark reproduction|"
        "elephant herds|wolf packs|dolphin intelligence|coral reefs|rainforest plants|pollination|seed dispersal|tree rings|plant roots|stomata|xylem and phloem|"
        "fungal networks in soil|lichens|algae blooms|bacterial growth|antibiotic resistance in bacteria|viruses and host cells|bacteriophages|the human genome|stem cells|"
        "cloning|crispr gene editing|enzymes|cellular respiration|the krebs cycle|mitochondria|lysosomes|the golgi apparatus|neurons and synapses in animals|hormones in plants|"
        "circadian rhythms in animals|hibernation|animal mimicry|parasites|symbiosis|mutualism|taxonomy and classification|vertebrates|invertebrates|arthropods|mammals that lay eggs|"
        "amphibians|insect wings|fish gills|evolution of the eye|fossil species|extinct animals|the dodo|mammoths|human evolution|primates|apes and monkeys|carnivorous plants|"
        "nitrogen fixing bacteria|population ecology|habitat loss|invasive species|butterflies|penguins|cats seeing in the dark|why zebras have stripes|axolotl regeneration|tardigrades"
    ),
    "business": words(
        "a marketing strategy|brand positioning|customer segmentation|market research|a sales funnel|lead generation|cold calling|email campaigns|social media ads|influencer marketing|"
        "search engine marketing|pricing strategy|subscription pricing|customer retention|churn|net promoter score|customer service scripts|an online store|an etsy shop|a food truck|"
        "a coffee shop business|a consulting business|a cleaning company|a franchise|a startup pitch|pitch decks|seed funding|venture capital|angel investors|business loans|"
        "cash flow|working capital|break-even analysis|profit margins|revenue forecasts|budgeting for a small company|return on investment|net present value of a project|stock options for employees|dividends for shareholders|"
        "credit cards|bank transfers|savings accounts|mortgages|index funds|stock portfolios|retirement accounts|crypto investing|insurance for small businesses|payroll|"
        "hiring my first employee|onboarding new staff|performance reviews|job descriptions|team building|leadership styles|change management|conflict in the team at work|delegation|meetings that run too long|"
        "project management|agile in companies|okrs|kpis|strategic planning|swot analysis|porter's five forces|the bcg matrix|the marketing mix|competitor analysis|"
        "supply chain management|inventory turnover|procurement|logistics and warehousing|outsourcing|lean management|six sigma|quality management|business ethics|corporate governance|"
        "corporate social responsibility|mergers and acquisitions|due diligence of a company|going public|joint ventures|networking events|linkedin profiles|freelance rates|client contracts and proposals|negotiating with suppliers|"
        "b2b sales|customer complaints|product launches|product roadmaps|brand loyalty|trade shows|retail store layout|remote work policies|expense reports|invoicing clients"
    ),
    "chemistry": words(
        "acids and bases|the ph scale|titration|buffer solutions|chemical bonds|ionic bonds|covalent bonds|hydrogen bonding|metallic bonding|electronegativity|"
        "the periodic table|noble gases|halogens|alkali metals|transition metals|isotopes|radioactive isotopes in chemistry|atomic structure|electron configuration|orbitals and hybridization|"
        "valence electrons|lewis structures|vsepr theory|molecular geometry|moles and molar mass|stoichiometry|limiting reagents|balancing equations|molarity|dilution of solutions|"
        "redox reactions|oxidation states|electrolysis|galvanic cells|corrosion and rust|combustion|exothermic reactions|endothermic reactions|enthalpy|gibbs free energy|"
        "reaction rates|catalysts|activation energy|chemical equilibrium|le chatelier's principle|solubility|precipitation reactions|crystallization|distillation|chromatography|"
        "mass spectrometry|nmr spectra|infrared spectroscopy of molecules|organic functional groups|alkanes and alkenes|alcohols|esters|aldehydes and ketones|carboxylic acids|benzene and aromatics|"
        "polymers|plastics like polyethylene|soap making chemistry|how bleach works|hydrogen peroxide|sodium chloride|sulfuric acid|nitric acid|ammonia synthesis|the haber process|"
        "ozone|carbon dioxide dissolving in water|water hardness|baking soda and vinegar|dry ice|liquid nitrogen|gunpowder chemistry|fireworks colors|flame tests|indicator dyes|"
        "graphene|fullerenes|chirality|enantiomers|sn1 and sn2 reactions|grignard reagents|ideal gases in chemistry|vapor pressure|boiling points of molecules|colligative properties|"
        "gold dissolving in aqua regia|lithium reacting with water|caffeine's molecular structure|the smell of esters|nanoparticles|coordination complexes|green chemistry|lab safety with acids|adhesives and glue chemistry|detergents and surfactants"
    ),
    "computer science": words(
        "python decorators|python generators|list comprehensions|async and await|javascript promises|closures|typescript generics|react hooks|vue components|css flexbox|"
        "html forms|node.js streams|java interfaces|java garbage collection|c pointers|memory leaks in c++|rust ownership|rust lifetimes|go channels|goroutines|"
        "kotlin coroutines|swift optionals|php sessions|ruby on rails|sql joins|database indexes|transactions and isolation levels|mongodb queries|redis caching|postgres replication|"
        "git rebase|merge conflicts|github actions|docker images|docker volumes|kubernetes deployments|helm charts|terraform modules|ansible playbooks|nginx config|"
        "load balancers|dns|tcp handshakes|http status codes|rest apis|graphql|grpc|websockets|oauth tokens|jwt|"
        "password hashing|sql injection|cross site scripting|encryption|public key cryptography|firewalls|vpn setup|malware|phishing emails|linux file permissions|"
        "bash scripts|systemd services|cron jobs|ssh keys|the linux kernel|operating systems|open source software|open source licences for code|processes and threads|deadlocks|"
        "virtual memory|cpu caches|compilers|parsers|regular expressions|recursion|sorting algorithms|binary trees|hash tables|graph algorithms|"
        "dijkstra's algorithm|dynamic programming|big o notation|p versus np|turing machines|finite automata|design patterns|unit testing|dependency injection|microservices|"
        "machine learning models|neural networks|transformers and attention|large language models|gradient descent|overfitting|random forests|pytorch tensors|pandas dataframes|numpy arrays|"
        "web scraping|selenium tests|excel macros in vba|android apps|ios app development|unity game scripts|unreal blueprints|raspberry pi software|windows updates|slow computers"
    ),
    "economics": words(
        "inflation|deflation|hyperinflation|gdp|gdp per capita|unemployment|recessions|the business cycle|economic growth|productivity growth|"
        "supply and demand|price elasticity|market equilibrium|price ceilings|price floors|rent control|the minimum wage|labor markets|labor unions and wages|immigration and wages|"
        "monopolies|oligopolies|perfect competition|monopolistic competition|cartels|antitrust economics|game theory in markets|nash equilibrium|the prisoner's dilemma|auctions|"
        "opportunity cost|marginal cost|marginal utility|diminishing returns|economies of scale|consumer surplus|deadweight loss|externalities|public goods|the tragedy of the commons|"
        "carbon taxes|subsidies|tariffs|free trade|trade deficits|trade wars|comparative advantage|absolute advantage|globalization and wages|exchange rates|"
        "currency devaluation|the gold standard|central banks|the federal reserve|interest rates set by the central bank|quantitative easing|money supply|fractional reserve banking|bond yields and the economy|the yield curve|"
        "fiscal policy|monetary policy|government debt|budget deficits|austerity|stimulus spending|the multiplier effect|aggregate demand|aggregate supply|the phillips curve|"
        "stagflation|keynesian economics|supply side economics|classical economics|marxian economics|adam smith's invisible hand|behavioral economics|rational choice|income inequality|the gini coefficient|"
        "poverty traps|development economics|foreign aid effects|universal basic income|progressive taxation|the laffer curve|housing prices|oil prices|food prices|bubbles in asset prices|"
        "the 2008 financial crisis in economic terms|the great depression's economic causes|moral hazard|adverse selection|asymmetric information|human capital|purchasing power parity|the consumer price index|the big mac index|econometrics and instrumental variables|"
        "heteroskedasticity|time series of gdp|the eurozone economy|china's economic growth|the japanese economy|the indian economy|planned economies|market failure|crowding out|demographic ageing and growth"
    ),
    "engineering": words(
        "reinforced concrete|steel beams|truss bridges|suspension bridges|arch dams|retaining walls|pile foundations|soil compaction|earthquake resistant buildings|tunnel boring|"
        "road pavement design|drainage systems|water treatment plants|sewage pumps|structural loads|bending moments|shear force diagrams|buckling of columns|stress and strain|fatigue cracks|"
        "material hardness testing|heat treatment of steel|welding joints|casting and forging|cnc machining|injection molding|3d printer nozzles|tolerances and fits|gears and gearboxes|belt drives|"
        "ball bearings|hydraulic cylinders|pneumatic valves|centrifugal pumps|compressors|heat exchangers|boilers|steam turbines|gas turbines|diesel engines|"
        "petrol engines|turbochargers|car transmissions|differentials in cars|disc brakes|suspension in cars|electric car motors|regenerative braking|battery management systems|charging stations|"
        "jet engines|rocket engines|aircraft wings|wind tunnels|drones and propellers|wind turbines|solar panel installations|hydroelectric plants|nuclear reactors cooling|power grids|"
        "transformers in substations|three phase power|circuit breakers|electric motors|induction motors|dc motors|stepper motors|generators|voltage regulators|switching power supplies|"
        "operational amplifiers|transistor amplifiers|diodes and rectifiers|mosfet drivers|filters in circuits|pcb layout|soldering|oscilloscopes|microcontrollers and sensors|arduino circuits|"
        "antennas|signal modulation|transmission lines|sampling and quantization of signals|control systems|pid controllers|transfer functions|root locus|robot arms|plc programming for machines|"
        "hvac systems|insulation of buildings|fluid flow in pipes|reynolds number|boundary layers|heat transfer by convection|refrigeration cycles|elevators|cranes|submarine hulls|ship propellers|oil rigs|conveyor belts|factory automation|logic gates in digital circuits"
    ),
    "health": words(
        "high blood pressure|low blood sugar|type 2 diabetes|high cholesterol|heart disease|heart palpitations|stroke symptoms|migraine|back pain|neck pain|"
        "knee pain|shoulder pain|a sprained ankle|arthritis|osteoporosis|gout|carpal tunnel|sciatica|muscle cramps|fibromyalgia|"
        "the common cold|the flu|covid|strep throat|sinus infection|bronchitis|pneumonia|asthma|copd|tuberculosis|"
        "stomach ulcers|acid reflux|irritable bowel|constipation|diarrhea|food poisoning|celiac disease|lactose intolerance|gallstones|kidney stones|"
        "urinary tract infections|hepatitis|hiv|herpes|malaria|dengue fever|measles|chickenpox|shingles|rabies|"
        "eczema|psoriasis|acne|hives|sunburn|ringworm|wound care|burns|insect bites|hair loss|"
        "pregnancy nutrition|morning sickness|breastfeeding|menopause|period pain|pcos|endometriosis|birth control pills|baby fever|teething|"
        "vaccines for kids|flu shots|antibiotics|ibuprofen|paracetamol|aspirin|statins|insulin|blood thinners|antihistamines|"
        "vitamin d|iron deficiency|omega 3|protein intake|calories and weight loss|intermittent fasting|a balanced diet|salt intake|fiber in food|healthy snacks|"
        "cancer screening|breast cancer|skin cancer|prostate exams|chemotherapy|mri scans|blood tests|anemia|thyroid problems|the liver|"
        "the pancreas|the lungs|the spine|the inner ear|cataracts|dry eyes|tooth decay|gum disease|sleep apnea|physical therapy exercises|alzheimer's disease|dementia care|parkinson's|multiple sclerosis|cpr|first aid for fainting|dehydration|allergies to pollen"
    ),
    "history": words(
        "the roman empire|julius caesar|the fall of rome|ancient greece|the peloponnesian war|alexander the great|ancient egypt|the pharaohs|mesopotamia|the code of hammurabi|"
        "the persian empire|the han dynasty|the ming dynasty|the great wall of china|the mongol empire|genghis khan|feudal japan|the samurai|the meiji restoration|the maurya empire|"
        "the mughal empire|the british raj|gandhi|the partition of india|the byzantine empire|the fall of constantinople|the ottoman empire|the crusades|the vikings|charlemagne|"
        "medieval castles|feudalism|the black death|the hundred years war|joan of arc|the magna carta in history|the renaissance|the medici|the reformation|martin luther|"
        "the spanish inquisition|christopher columbus|the aztec empire|the inca empire|the maya civilization|the slave trade|colonial america|the boston tea party|the american revolution|george washington|"
        "the american civil war|abraham lincoln|the gold rush|the french revolution|napoleon|the battle of waterloo|the congress of vienna|the industrial revolution|queen victoria|the irish famine|"
        "the crimean war|the unification of germany|bismarck|the scramble for africa|the boer war|the zulu kingdom|the mali empire|the russian revolution|lenin|stalin's rule|"
        "world war one|trench warfare|the treaty of versailles|the weimar republic|the rise of hitler|the spanish civil war|world war two|d-day|pearl harbor|the holocaust|"
        "hiroshima and nagasaki|the cold war|the korean war|the vietnam war|the cuban missile crisis|the berlin wall|the space race history|the civil rights movement|martin luther king|apartheid|"
        "nelson mandela's life|the chinese revolution|mao zedong|the iranian revolution|the fall of the soviet union|neanderthals|stone age tools|bronze age cultures|stonehenge|prehistoric cave paintings|archaeological excavations|the silk road|the printing press invention|women's suffrage movement|prohibition in the 1920s|pirates of the caribbean sea in the 1700s"
    ),
    "law": words(
        "breach of contract|contract law|oral agreements|consideration in contracts|duress and undue influence|non-compete clauses|nda clauses|liability waivers|indemnity clauses|arbitration clauses|"
        "small claims court|suing a company|class action lawsuits|settlement offers|depositions|subpoenas|summary judgment|appeals|jury duty|hearsay evidence|"
        "the burden of proof|criminal charges|assault and battery|theft charges|fraud charges|self defense law|dui charges|probation|bail|plea bargains|"
        "miranda rights|search warrants|the fourth amendment|the first amendment|due process|double jeopardy|habeas corpus|the death penalty in law|juvenile court|expungement of records|"
        "divorce law|child custody|child support payments|alimony|prenuptial agreements|adoption law|guardianship|wills and probate|inheritance law|power of attorney|"
        "trusts and estates|tenant rights|eviction|security deposits|lease agreements|property easements|zoning rules|adverse possession|squatters' rights|title deeds|"
        "employment law|wrongful dismissal|unpaid overtime claims|workplace discrimination claims|sexual harassment law|workers' compensation|maternity leave rights|severance agreements|labor law on breaks|whistleblower protection|"
        "copyright infringement|trademark registration|patents|fair use|trade secrets|defamation|privacy law|gdpr compliance|consumer protection law|product liability|"
        "negligence|medical malpractice claims|personal injury claims|car accident liability|slip and fall claims|insurance disputes|traffic tickets|license suspension|immigration visas|asylum applications|"
        "green card rules|deportation|naturalization|international law|treaties in international law|human rights law|the geneva conventions|maritime law|antitrust law|securities law|"
        "bankruptcy filing|debt collection law|statute of limitations|restraining orders|trespassing|nuisance neighbors and the law|legal age of consent to contracts|notary requirements|terms of service enforceability|supreme court decisions"
    ),
    "math": words(
        "fractions|long division|multiplication tables|decimals|percentages|ratios|negative numbers|order of operations|prime numbers|prime factorization|"
        "greatest common divisors|least common multiples|square roots|cube roots|exponents|logarithms|scientific notation|linear equations|quadratic equations|the quadratic formula|"
        "completing the square|polynomials|polynomial division|factoring|inequalities|absolute values|systems of equations|functions and graphs|slope and intercept|parabolas|"
        "triangles|the pythagorean theorem|similar triangles|circles and pi|area and perimeter|volume of a cone|volume of a sphere|surface area|angles in polygons|trigonometry|"
        "sine and cosine|the unit circle|radians|vectors in math|dot products|cross products|matrices|matrix multiplication|determinants|eigenvalues|"
        "linear independence|vector spaces|limits|derivatives|the chain rule|implicit differentiation|integrals|integration by parts|partial fractions|improper integrals|"
        "taylor series|infinite series|convergence tests|differential equations|partial derivatives|lagrange multipliers|double integrals|fourier transforms|laplace transforms|complex numbers|"
        "probability|conditional probability|bayes theorem|permutations|combinations|binomial coefficients|the normal distribution|standard deviation|mean and median|hypothesis testing|"
        "p-values|confidence intervals|linear regression math|the central limit theorem|set theory|venn diagrams|group theory|rings and fields|modular arithmetic|number theory|"
        "fermat's last theorem|the riemann hypothesis|proof by induction|proof by contradiction|graph theory in mathematics|topology|euler's formula|the fibonacci sequence|geometric series|arithmetic sequences|"
        "word problems|mental math|binary to decimal conversion by hand|roman numerals|unit conversion|compound interest formula|pascal's triangle|the golden ratio|infinity|magic squares"
    ),
    "other": words(
        "banana bread|sourdough|pasta carbonara|chicken curry|vegetable soup|chocolate chip cookies|pancakes|sushi at home|grilled salmon|a cheese platter|"
        "a trip to japan|a weekend in paris|hiking in the alps|a road trip in california|backpacking in thailand|family hotels in spain|packing for a cruise|train travel in italy|camping with kids|a visit to new york|"
        "football rules|the world cup|tennis grips|marathon training plans|chess openings|basketball drills|golf swings|cricket scoring|formula 1 races|the olympics|"
        "horror movies|netflix series|anime for beginners|harry potter|star wars|marvel films|classic novels|poetry about autumn|fantasy books|crime novels|"
        "guitar chords|piano lessons|jazz albums|taylor swift songs|classical concerts|watercolor painting|photography tips|knitting patterns|origami|gardening on a balcony|"
        "tomato plants|houseplants|puppy training|cat litter|aquarium fish|horse riding|wedding speeches|birthday parties|thank you cards|baby names|"
        "christmas gifts|halloween costumes|valentine's day ideas|dinner parties|house moving tips|stain removal|cleaning an oven|interior decoration|paint colors for a bedroom|fashion for autumn|"
        "skincare routines as a hobby|hairstyles|tattoo designs|video games|minecraft builds|pokemon cards|dungeons and dragons characters|board games|crossword clues|riddles|"
        "small talk|english grammar|spanish vocabulary|french pronunciation|learning japanese|synonyms|idioms|letters of recommendation|poems|short stories|"
        "song lyrics|world capitals|flags of the world|rivers and mountains|time zones|the weather|countries in africa|the european union's members|presidential elections|the us congress|"
        "political parties|the united nations|foreign policy|national security policy|gender roles in society|social media and society|urbanization|religion statistics by country|population growth by country|celebrity news|"
        "horoscopes|dream vacations|bucket lists|new year's resolutions|daily routines|school schedules|parking at the airport|public transport in london|second hand bikes|lost luggage"
    ),
    "philosophy": words(
        "free will|determinism|moral relativism|utilitarianism|deontology|virtue ethics|kant's categorical imperative|the trolley problem|the ship of theseus|the problem of evil|"
        "the meaning of life|nihilism|existentialism|absurdism|stoicism|epicureanism|skepticism|empiricism|rationalism|pragmatism|"
        "plato's cave|socratic questioning|aristotle's ethics|descartes' cogito|spinoza's god|leibniz's monads|hume on causation|locke on personal identity|berkeley's idealism|hegel's dialectic|"
        "schopenhauer's pessimism|kierkegaard's leap of faith|nietzsche's superman|wittgenstein on language|heidegger on being|sartre on bad faith|simone de beauvoir on freedom|camus and sisyphus|rawls on justice|nozick on liberty|"
        "hobbes's leviathan|rousseau's social contract|mill on liberty|the is-ought problem|the mind-body problem|consciousness|qualia|philosophical zombies|the chinese room argument|the simulation argument|"
        "solipsism|what knowledge is|gettier cases|truth|the nature of time in philosophy|metaphysics|ontology|epistemology|aesthetics|the philosophy of science|"
        "falsifiability|formal logic|syllogisms|modus ponens|truth tables in logic|predicate logic|logical fallacies|the straw man fallacy|ad hominem arguments|begging the question|"
        "the slippery slope fallacy|paradoxes|zeno's paradox|the liar paradox|arguments for god's existence|the ontological argument|pascal's wager|atheism|faith and reason|the soul|"
        "life after death|buddhist philosophy|the four noble truths|karma|zen koans|taoism|confucianism|hindu philosophy|islam's five pillars|jewish ethics|christian theology|"
        "sikh beliefs|animal rights|the ethics of eating meat|euthanasia ethics|abortion ethics|capital punishment ethics|the ethics of lying|just war theory|duties to the poor|the ethics of ai|environmental ethics|the golden rule"
    ),
    "physics": words(
        "gravity|free fall|projectile motion|newton's laws|momentum|conservation of energy|kinetic energy|work and power in physics|friction|circular motion|"
        "torque and rotation|angular momentum|gyroscopes|pendulums|springs and hooke's law|simple harmonic motion|waves|sound waves|the doppler effect|resonance|"
        "standing waves|interference of light|diffraction|the double slit experiment|refraction|total internal reflection|lenses and mirrors|polarization of light|lasers|the speed of light|"
        "color and wavelength|the photoelectric effect|photons|wave particle duality|the uncertainty principle|quantum entanglement|quantum tunneling|schrodinger's equation|superposition|electron spin|"
        "atoms and energy levels|nuclear fission|nuclear fusion|radioactive decay|half life|alpha and beta particles|quarks|the standard model|the higgs boson|antimatter|"
        "neutrinos|particle accelerators|special relativity|time dilation|length contraction|e = mc^2|general relativity|curved spacetime|gravitational waves|black holes|"
        "event horizons|white dwarfs|neutron stars|supernovas|the big bang|dark matter|dark energy|the expanding universe|galaxies|the milky way|"
        "the solar system|planetary orbits|kepler's laws|moon phases|tides|eclipses|comets|exoplanets|mars|jupiter's moons|"
        "telescopes|electric charge|coulomb's law|electric fields|magnetic fields|electromagnetic induction|electric potential|capacitance in physics|ohm's law|static electricity|"
        "lightning|superconductors|temperature and heat|thermal expansion|entropy|the second law of thermodynamics|absolute zero|heat capacity|pressure in fluids|buoyancy|"
        "bernoulli's principle|surface tension|why the sky is blue|rainbows|mirages|string theory|parallel universes|wormholes|time travel physics|perpetual motion machines"
    ),
    "psychology": words(
        "anxiety|social anxiety|panic attacks|depression|burnout|stress at work|anger management|low self-esteem|imposter syndrome|perfectionism|"
        "procrastination|overthinking|loneliness|grief|heartbreak|jealousy|trust issues|attachment styles|toxic relationships|codependency|"
        "narcissism|gaslighting|emotional abuse|people pleasing|setting boundaries|arguments with a partner|a cheating partner|a friend who pulls away|difficult parents|sibling rivalry|"
        "childhood trauma|ptsd|ocd|adhd in adults|autism traits|bipolar disorder|borderline personality|eating disorders and body image|addiction|phobias|"
        "fear of flying|fear of failure|stage fright|test anxiety|insomnia from worry|nightmares|dream meaning|mindfulness|meditation for calm|cognitive behavioral therapy|"
        "psychotherapy|freud's theories|carl jung's archetypes|classical conditioning|operant conditioning|skinner's experiments|pavlov's dogs|piaget's stages|erikson's stages|vygotsky|"
        "maslow's hierarchy|intrinsic motivation|habits|willpower|delayed gratification|the marshmallow test|cognitive dissonance|confirmation bias|the halo effect|the bystander effect|"
        "groupthink|conformity|milgram's obedience study|the stanford prison experiment|stereotypes and prejudice|persuasion|body language|first impressions|love languages|empathy|"
        "emotional intelligence|iq tests|the big five traits|introverts and extroverts|myers-briggs types|short term memory|false memories|forgetting|attention|perception and illusions|"
        "language development in children|parenting a teenager|tantrums|bullying|moral development of children|midlife crisis|happiness|gratitude journaling|self-compassion|resilience|job satisfaction psychology|crowd behavior|placebo and expectation|decision fatigue|memory tricks"
    ),
}

# Ways to ask about any topic. {t} is the topic, {u} a second topic of the same domain.
GENERIC = words(
    "what is {t}|whats {t}|What is {t}?|explain {t}|Explain {t} to me|can you explain {t}?|could u explain {t} pls|explain {t} like i'm five|ELI5: {t}|{t}|{t}?|{t} explained|"
    "tell me about {t}|Tell me something interesting about {t}.|how does {t} work|how do i understand {t} better|why is {t} important?|i dont get {t}|I don't really understand {t}, can you help?|help me with {t}|"
    "give me an overview of {t}|Give me a short summary of {t}|summary of {t}|bullet points on {t}|5 facts about {t}|three examples of {t}|example of {t}|simple definition of {t}|"
    "what should I know about {t}|what do experts say about {t}|common mistakes with {t}|common misconceptions about {t}|difference between {t} and {u}|{t} vs {u}|compare {t} and {u}|how is {t} related to {u}?|"
    "Write a short paragraph about {t} for beginners.|Write a 500 word essay on {t}|prepare a lesson on {t}|make flashcards for {t}|quiz me on {t}|I have a test on {t} tomorrow, what do I need to know?|"
    "questions about {t}|I'm reading about {t} and I'm confused about one thing|my teacher asked us about {t}|what's a good book about {t}|is it true what they say about {t}|"
    "Can you walk me through {t} step by step?|in simple words, {t}|a question regarding {t}|need info on {t} asap|pros and cons of {t}|best resources to learn about {t}|"
    "where do i start with {t}|hi, i have a question about {t}|Please give a detailed explanation of {t}, including {u}.|What role does {u} play in {t}?|{t} basics|everything about {t}|"
    "Let's talk about {t}.|so basically {t} is|{t} can be described as|The main idea behind {t} is|One reason why {t} matters is|do you know anything about {t}?|how would you describe {t} to a friend"
)
