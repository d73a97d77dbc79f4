"""The company's vocabulary: invented names and sentences.

Nothing is taken from real data; addresses end in `.example`, which nobody can own.
"""

FIRSTNAMES = (
    "Alix", "Bérénice", "Côme", "Dalia", "Elouan", "Faustine", "Gaëtan", "Héloïse", "Isaure", "Joachim",
    "Katell", "Lubin", "Maëlys", "Noé", "Océane", "Perrine", "Quitterie", "Rozenn", "Sacha", "Tiphaine",
    "Ulysse", "Violaine", "Wandrille", "Ysé", "Zélie", "Anne-Lise", "Jean-Noël", "Zoë 🥗",
)  # fmt: skip
LASTNAMES = (
    "Abricotier", "Boisjoli", "Chantepie", "Duverger", "Épinoche", "Fontclaire", "Grandpré", "Hautecombe",
    "Isleroy", "Jolicœur", "Kerlouan", "Lamotte-Verte", "Montplaisir", "Noisetier", "Ormeau", "Pommerol",
    "Quatrebras", "Rivenoire", "Saulaie", "Tilleul", "Ursin", "Valombreuse", "Wattignies", "Yvetière",
    "Zéphir", "O'Chêne",
)  # fmt: skip
COMPANIES = ("Banque", "Mutuelle", "Ateliers", "Transports", "Verrerie", "Librairie", "Clinique", "Scierie")
PLACES = (
    "du Val", "des Trois Ponts", "de l'Étang", "du Moulin", "des Aulnes", "de la Lande", "du Phare",
    "de l'Île",
)  # fmt: skip
ACTIVITIES = ("BANQUE", "ASSURANCE", "INDUSTRIE", "TRANSPORT", "SANTE", "OTHER")
FOODS = (
    "Lentille", "Poireau", "Sarrasin", "Courge", "Pois chiche", "Betterave", "Épeautre", "Fenouil",
    "Cabillaud", "Yaourt", "Noisette", "Quinoa", "Panais", "Myrtille", "Tofu", "Orge perlé",
)  # fmt: skip
DISHES = ("Gratin", "Soupe", "Salade", "Curry", "Tarte", "Poêlée", "Velouté", "Risotto")
UNITS = ("UNIT_G", "UNIT_KG", "UNIT_ML", "UNIT_L", "UNIT_UNITE", "UNIT_CAS", "UNIT_CAC", "UNIT_PINCEE")
GOALS = (
    "Mieux dormir", "Perdre du poids", "Bouger plus", "Moins de sucre", "Grossesse", "Végétarien", "Diabète",
    "Cholestérol", "Stress", "Travail de nuit", "Sans gluten", "Digestion", "Énergie", "Cuisine rapide",
)  # fmt: skip
TOPICS = (
    "L'assiette équilibrée", "Les fibres", "Le petit-déjeuner", "Lire une étiquette", "Boire assez",
    "Le goûter",
)  # fmt: skip
QUESTIONS = (
    "Combien de portions de légumes avez-vous mangées aujourd'hui ?",
    "Avez-vous pris un petit-déjeuner ?",
    "Comment évaluez-vous votre faim avant le repas ?",
    "Qu'avez-vous bu pendant la journée ?",
    "Quel a été votre en-cas ?",
    "Racontez votre dîner, avec qui et à quelle heure, et comment vous vous êtes senti ensuite.",
    "Joignez une photo de votre assiette.",
    "Quels aliments avez-vous évités ?",
)
ANSWERS = (
    "Une pomme", "Du pain complet", "Rien", "De l'eau", "Un thé", "Des noix", "Une soupe maison",
    "Je ne sais pas",
)  # fmt: skip
MESSAGES = (
    "Bonjour, pouvez-vous déplacer mon rendez-vous ?",
    "Merci pour vos conseils 🙏",
    "J'ai tenu toute la semaine 💪🏽🥦",
    "Voici mon menu :\n- soupe\n- salade\n\nÀ jeudi !",
    "C'est noté.",
    'Une question : le "sans sucre" compte-t-il ?\tMerci d\'avance',
)
EMAIL_DOMAINS = ("courriel.example", "poste.example", "travail.example")
